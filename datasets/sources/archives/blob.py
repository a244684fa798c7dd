"""Where an archive's bytes are, and a view of them as the file that the standard library's readers want."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Protocol

from datasets.errors import SourceError
from datasets.sources.base import Body
from datasets.sources.net.client import Web
from datasets.sources.net.url import Url

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

WINDOW = 256 << 10
"""Bytes that are read at once where a reader asks for few: a request costs more than these."""


class Blob(Protocol):
    size: int

    def stream(self, offset: int, length: int) -> Body: ...


class RemoteBlob:
    """A file at a server that gives parts of it, pinned to a version."""

    def __init__(self, web: Web, url: Url, name: str, size: int, version: str, credentials: dict[str, str]) -> None:
        self.size = size
        self._web, self._url, self._name, self._version, self._credentials = web, url, name, version, credentials

    def stream(self, offset: int, length: int) -> Body:
        if not length:
            return Slice(None, 0, 0)
        return self._web.part(
            self._url,
            self._name,
            self.size,
            offset=offset,
            length=length,
            version=self._version,
            credentials=self._credentials,
        )


class FileBlob:
    """A file of this node, which may already have lost its name."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def stream(self, offset: int, length: int) -> Body:
        return Slice(self._file, offset, length)


class Slice(io.RawIOBase):
    """A part of a file that others read too."""

    def __init__(self, file: io.FileIO | None, offset: int, length: int) -> None:
        super().__init__()
        self._file, self._offset, self._left = file, offset, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise SourceError("Reading was given up.", permanent=False)
        if self._file is None:
            return 0
        got = os.preadv(self._file.fileno(), [memoryview(buffer)[: self._left]], self._offset)
        self._offset += got
        self._left -= got
        return got


class Reader(io.RawIOBase):
    """A blob as a file that can be sought in, for readers that believe the lengths an archive says.

    `allow(bytes)` says how much may be asked for until the next call: headers are small, and one that says it is
    a gigabyte is made to fill the memory. Raises SourceError beyond that.
    """

    def __init__(self, blob: Blob, name: str) -> None:
        super().__init__()
        self._blob, self._name = blob, name
        self._position, self._allowed = 0, 0
        self._start, self._window = 0, b""

    def allow(self, size: int) -> None:
        self._allowed = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._blob.size}[whence]
        if base + offset < 0:
            raise OSError("before the start")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            size = max(0, self._blob.size - self._position)
        self._allowed -= max(size, 512)  # also for what asks for nothing again and again
        if self._allowed < 0:
            raise SourceError(f"{self._name} has a header that is too large to be true.", refused="archive")
        begin = self._position - self._start
        if not (self._window and begin >= 0 and begin + size <= len(self._window)):
            self._fill(size)
            begin = self._position - self._start
        content = self._window[begin : begin + size]
        self._position += len(content)
        return content

    def _fill(self, size: int) -> None:
        length = max(size, WINDOW)
        # Near the end, what comes before is wanted next: a zip's directory is read from behind.
        self._start = max(0, min(self._position, self._blob.size - length))
        if self._position < self._blob.size - WINDOW:
            self._start = self._position
        with self._blob.stream(self._start, max(0, min(length, self._blob.size - self._start))) as part:
            self._window = part.readall() or b""
