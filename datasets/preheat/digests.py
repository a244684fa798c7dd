"""Digests by the names that sources use in `SourceFile.check`. No Django.

`sha256:hex`, `sha1:hex`, `md5:hex`, `crc32:hex`, and `git-sha1:hex`, which is git's name of a blob: SHA-1 over
"blob <size>" and a NUL before the content.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Protocol, Self


class Digest(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Self: ...


class Crc32:
    """zlib's, with hashlib's manners; 8 hex digits."""

    def __init__(self, value: int = 0) -> None:
        self._value = value

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"

    def copy(self) -> Self:
        return type(self)(self._value)


def digest_for(check: str, size: int) -> Digest | None:
    """A new digest of the algorithm that `check` names; None for "" and for algorithms that are not known here."""
    match check.partition(":")[0]:
        case "sha256":
            return hashlib.sha256()
        case "sha1":
            return hashlib.sha1(usedforsecurity=False)
        case "md5":
            return hashlib.md5(usedforsecurity=False)
        case "crc32":
            return Crc32()
        case "git-sha1":
            return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return None


def agrees(check: str, digest: Digest) -> bool:
    return check.partition(":")[2].lower() == digest.hexdigest()
