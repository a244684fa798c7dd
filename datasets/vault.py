"""Encryption of the secret options of datasets, each by itself. No Django: credentials.py says which keys there are.

A sealed text says whose it is, so that one that was moved to another dataset, or another option, does not open.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class NotOpened(Exception):
    """The text was sealed with a key that is not here, was changed, or is another dataset's."""


class Vault:
    """`keys` as `Fernet.generate_key` makes them: the first one seals, and all of them open."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = MultiFernet([Fernet(key) for key in keys])

    def seal(self, owner: str, name: str, secret: str) -> str:
        return self._keys.encrypt(json.dumps([owner, name, secret]).encode()).decode("ascii")

    def open(self, owner: str, name: str, sealed: str) -> str:
        """Raises NotOpened."""
        try:
            found_owner, found_name, secret = json.loads(self._keys.decrypt(sealed.encode()))
        except (InvalidToken, ValueError):
            raise NotOpened from None
        if (found_owner, found_name) != (owner, name):
            raise NotOpened
        return str(secret)

    def renew(self, sealed: str) -> str:
        """The same, sealed with the first key. Raises NotOpened."""
        try:
            return self._keys.rotate(sealed.encode()).decode("ascii")
        except InvalidToken:
            raise NotOpened from None
