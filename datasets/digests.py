"""Digests by the names that sources use in `SourceFile.check`. No Django.

`name:hex` for md5, sha1, sha224, sha256, sha384, sha512, crc32, crc32c and crc64nvme; and `git-sha1:hex`, which is
git's name of a blob: SHA-1 over "blob <size>" and a NUL before the content.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Protocol, Self


class Digest(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Self: ...


class Crc:
    """A CRC of `size` bytes with hashlib's manners. `function` is given the bytes and the value so far."""

    def __init__(
        self, function: Callable[[bytes | bytearray | memoryview, int], int], size: int, value: int = 0
    ) -> None:
        self._function, self._size, self._value = function, size, value

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:0{self._size * 2}x}"

    def copy(self) -> Self:
        return type(self)(self._function, self._size, self._value)


def digest_for(check: str, size: int) -> Digest | None:
    """A new digest of the algorithm that `check` names; None for "" and for algorithms that are not known here."""
    match check.partition(":")[0]:
        case "sha224" | "sha256" | "sha384" | "sha512" as name:
            return hashlib.new(name)
        case "sha1":
            return hashlib.sha1(usedforsecurity=False)
        case "md5":
            return hashlib.md5(usedforsecurity=False)
        case "crc32":
            return Crc(zlib.crc32, 4)
        case "crc32c" | "crc64nvme" as name:
            from awscrt import checksums  # large, and only what reads from S3 needs it

            return Crc(checksums.crc32c, 4) if name == "crc32c" else Crc(checksums.crc64nvme, 8)
        case "git-sha1":
            return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return None


def agrees(check: str, digest: Digest) -> bool:
    return check.partition(":")[2].lower() == digest.hexdigest()
