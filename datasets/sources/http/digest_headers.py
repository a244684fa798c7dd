"""What a server says of a content in the headers of an answer, as `algorithm:hex`. No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from email.message import Message
from typing import Final

_SIZES: Final = {"sha256": 32, "sha1": 20, "md5": 16, "crc32c": 4}
_WEB_NAMES: Final = {"sha-256": "sha256", "sha": "sha1", "md5": "md5", "crc32c": "crc32c"}
"""As Digest (RFC 3230) and Repr-Digest (RFC 9530) spell them."""
_PAIR = re.compile(r"\s*([a-zA-Z0-9-]+)=:?([A-Za-z0-9+/]+={0,2}):?\s*")


def strongest(headers: Message, *, whole: bool = True) -> str:
    """The strongest digest; "" without one. `whole`: the answer is to a request for everything, not for a part."""
    digests: dict[str, str] = {}
    for name in ("Repr-Digest", "Digest", "X-Goog-Hash", *(("Content-Digest",) if whole else ())):
        for value in headers.get_all(name, []):
            for pair in value.split(","):
                if seen := _PAIR.fullmatch(pair):
                    _note(digests, _WEB_NAMES.get(seen[1].lower(), ""), _from_base64(seen[2]))
    if whole:
        _note(digests, "md5", _from_base64(headers.get("Content-MD5", "")))
    for algorithm in ("sha256", "sha1", "md5"):
        _note(digests, algorithm, _from_hex(headers.get(f"X-Checksum-{algorithm}", "")))
    return next((f"{name}:{digests[name]}" for name in _SIZES if name in digests), "")


def _note(digests: dict[str, str], algorithm: str, digest: bytes) -> None:
    if len(digest) == _SIZES.get(algorithm):
        digests.setdefault(algorithm, digest.hex())


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
