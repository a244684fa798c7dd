"""The format of an API key: `isk_<12 base62: id><"_"><43 base62: secret><6 base62: CRC32>`.

The id is safe to log and indexed; the checksum lets scanners and typos be refused without a look-up; only the
SHA-256 of the whole key is ever stored. 43 base62 characters carry 256 bits, so a plain hash is enough: there is
nothing to guess that a slow hash would protect. Storing keys and deciding who may have one is not here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX: Final = "isk_"
ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 43
CHECKSUM_LENGTH: Final = 6

PATTERN: Final = r"isk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}"
"""For secret scanners (GitHub custom patterns, gitleaks, trufflehog)."""
_KEY: Final = re.compile(PATTERN)


@dataclass(frozen=True)
class NewKey:
    """`key` is shown to a person once and never stored; `id` and `digest` are."""

    id: str
    key: str
    digest: str


def generate() -> NewKey:
    return _assemble(_random(ID_LENGTH), _random(SECRET_LENGTH))


def derive(key_id: str, master: str, purpose: str) -> NewKey:
    """The key of this id whose secret follows from `master`: for keys that the console itself must find again.

    Who does not know `master` cannot tell it from a random one.
    """
    value = int.from_bytes(hmac.digest(master.encode(), f"{purpose}:{key_id}".encode(), "sha256"))
    return _assemble(key_id, _base62(value, SECRET_LENGTH))


def _assemble(key_id: str, secret: str) -> NewKey:
    body = f"{PREFIX}{key_id}_{secret}"
    key = body + _checksum(body)
    return NewKey(key_id, key, digest(key))


def parse(key: str) -> str | None:
    """The id inside a well-formed key, or None. Says nothing about whether the key was ever issued."""
    if not _KEY.fullmatch(key) or _checksum(key[:-CHECKSUM_LENGTH]) != key[-CHECKSUM_LENGTH:]:
        return None
    return key[len(PREFIX) : len(PREFIX) + ID_LENGTH]


def digest(key: str) -> str:
    """SHA-256 of the whole key, 64 lower-case hex digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(value: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        value, index = divmod(value, len(ALPHABET))
        digits = ALPHABET[index] + digits
    return digits
