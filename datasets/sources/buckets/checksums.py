"""What a server says that a content is, and bodies that are held against it."""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Mapping
from io import RawIOBase
from typing import TYPE_CHECKING, Final

from awscrt import checksums as crt

from datasets.errors import SourceDamaged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Cheapest of the strong ones first. (x-amz-checksum-…, what `SourceFile.check` calls it, bytes)
_ALGORITHMS: Final = (
    ("sha256", 32), ("crc64nvme", 8), ("crc32c", 4), ("crc32", 4), ("sha1", 20),
)  # fmt: skip
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def said_of(headers: Mapping[str, str]) -> str:
    """`algorithm:hex` of the whole content from the headers of a HEAD or a GET; "" when they do not say.

    A checksum of checksums, as uploads in parts have it, says nothing of the content. An ETag is an MD5 unless the
    content lies encrypted under somebody's key, or came in parts. Header names in lower case.
    """
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
        for name, size in _ALGORITHMS:
            if value := headers.get(f"x-amz-checksum-{name}"):
                try:
                    found = b64decode(value, validate=True)
                except Error:  # "…-3": of three parts, from servers that do not send a type
                    continue
                if len(found) == size:
                    return f"{name}:{found.hex()}"
    if headers.get("x-amz-server-side-encryption", "AES256") != "AES256":
        return ""
    if "x-amz-server-side-encryption-customer-algorithm" in headers:
        return ""
    etag = _MD5.fullmatch(headers.get("etag", ""))
    return f"md5:{etag[1]}" if etag else ""


class Verified(RawIOBase):
    """A body of `size` bytes that raises SourceDamaged with its last byte when it was not what `check` says."""

    def __init__(self, body: RawIOBase, path: str, check: str, size: int) -> None:
        self._body, self._path, self._left = body, path, size
        algorithm, _, self._expected = check.partition(":")
        self._update, self._hex = _digest(algorithm)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        got = self._body.readinto(buffer)
        if got:
            self._update(memoryview(buffer)[:got])
            self._left -= got
            # Not only at the end of the body: who knows the size need not ask for one byte more.
            if not self._left and self._hex() != self._expected:
                raise SourceDamaged(self._path)
        return got

    def close(self) -> None:
        self._body.close()
        super().close()


def _digest(algorithm: str) -> tuple[Callable[[memoryview], object], Callable[[], str]]:
    """What takes the bytes, and what then says the digest in hex."""
    if algorithm in _CRCS:
        crc = _Crc(*_CRCS[algorithm])
        return crc.update, crc.hexdigest
    made = hashlib.new(algorithm, usedforsecurity=False)
    return made.update, made.hexdigest


class _Crc:
    def __init__(self, function: Callable[[memoryview, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: memoryview) -> None:
        self._value = self._function(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:0{self._size * 2}x}"


_CRCS: Final[dict[str, tuple[Callable[[memoryview, int], int], int]]] = {
    "crc32": (zlib.crc32, 4),
    "crc32c": (crt.crc32c, 4),
    "crc64nvme": (crt.crc64nvme, 8),
}
