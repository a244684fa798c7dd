"""gzip, bzip2 and xz, a piece at a time, so that no archive fills the memory. No I/O of its own."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from datasets.errors import SourceDamaged
from datasets.sources.archives.members import MAX_UNPACKED, RATIO, SLACK, too_much

PIECE = 1 << 20
MAX_DICTIONARY = 512 << 20
"""Bytes of memory that an xz may ask for."""


class Unpacker(Protocol):
    """One stream of a packed file, which may hold several, one after the other."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def take(self, data: bytes) -> bytes:
        """At most PIECE bytes. Call it with b"" until that gives nothing."""
        ...


class _Other:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    def take(self, data: bytes) -> bytes:
        return bytes(self._stream.decompress(data, PIECE))


class _Gzip(_Other):
    def __init__(self) -> None:
        super().__init__(zlib.decompressobj(31))
        self._tail = b""

    def take(self, data: bytes) -> bytes:
        piece = self._stream.decompress(self._tail + data if self._tail else data, PIECE)
        self._tail = self._stream.unconsumed_tail
        return bytes(piece)


UNPACKERS: dict[str, Callable[[], Unpacker]] = {
    "gz": _Gzip,
    "bz2": lambda: _Other(bz2.BZ2Decompressor()),
    "xz": lambda: _Other(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY)),
}


def unpacked(packing: str, parts: Iterator[bytes], name: str) -> Iterator[bytes]:
    """What `parts` unpack to; `packing` is a key of UNPACKERS, or "" for as they are.

    Raises SourceError for too much, SourceDamaged for what is torn or was never packed so.
    """
    if not packing:
        yield from parts
        return
    consumed = produced = 0
    stream: Unpacker | None = UNPACKERS[packing]()
    try:
        for part in parts:
            consumed += len(part)
            data: bytes = part
            while data or stream is not None:
                if stream is None:
                    data = data.lstrip(b"\0")  # padding between and after streams
                    if not data:
                        break
                    stream = UNPACKERS[packing]()
                piece = stream.take(data)
                produced += len(piece)
                if produced > min(RATIO * consumed + SLACK, MAX_UNPACKED):
                    raise too_much(name)
                if piece:
                    yield piece
                if stream.eof:
                    data, stream = stream.unused_data, None
                elif piece:
                    data = b""
                else:
                    break
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise SourceDamaged(name) from error
    if stream is not None:
        raise SourceDamaged(name)
