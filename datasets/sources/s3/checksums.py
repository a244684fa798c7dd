"""What a server says that a content is, and bodies that are held against it."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from io import RawIOBase
from typing import TYPE_CHECKING, Final

from datasets.digests import agrees, digest_for
from datasets.errors import SourceDamaged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Cheapest of the strong ones first. (x-amz-checksum-…, what `SourceFile.check` calls it, bytes)
_ALGORITHMS: Final = (
    ("sha256", 32),
    ("crc64nvme", 8),
    ("crc32c", 4),
    ("crc32", 4),
    ("sha1", 20),
)
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
                    digest = b64decode(value, validate=True)
                except Error:  # "…-3": of three parts, from servers that do not send a type
                    continue
                if len(digest) == size:
                    return f"{name}:{digest.hex()}"
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
        digest = digest_for(check, size)
        if digest is None:
            raise ValueError(f"no such digest: {check}")  # `said_of` gives no other
        self._check, self._digest = check, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        got = self._body.readinto(buffer)
        if got:
            self._digest.update(memoryview(buffer)[:got])
            self._left -= got
            # Not only at the end of the body: who knows the size need not ask for one byte more.
            if not self._left and not agrees(self._check, self._digest):
                raise SourceDamaged(self._path)
        return got

    def close(self) -> None:
        self._body.close()
        super().close()
