"""The secret options of datasets: sealed in the database, in plain text only where a source is made.

The key is in the home and not in the database: who has only a copy of the database has no credentials.
A sealed text says whose it is, so that one that was moved to another dataset, or another option, does not open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from console.files import made_once
from datasets.errors import CredentialsLocked
from datasets.models import Dataset


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


def seal(dataset_name: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """What `Dataset.credentials` of a dataset of that name holds."""
    vault = Vault(settings.SECRETS_KEYS or [_generated_key()])
    return {name: vault.seal(dataset_name, name, secret) for name, secret in secrets.items()}


def unseal(dataset_name: str, sealed: Mapping[str, str]) -> dict[str, str]:
    """Raises CredentialsLocked."""
    if not sealed:
        return {}
    vault = _vault()
    return {name: _opened(vault, dataset_name, name, text) for name, text in sealed.items()}


def rotate() -> tuple[int, list[str]]:
    """Seals everything with the first key. Returns how many datasets changed, and the names of those that stay shut."""
    vault = _vault()
    changed, shut = 0, []
    for dataset in Dataset.objects.exclude(credentials={}).order_by("name"):
        try:
            renewed = {name: vault.renew(text) for name, text in dataset.credentials.items()}
        except NotOpened:
            shut.append(dataset.name)
            continue
        # One that was changed meanwhile was sealed with the first key by that.
        changed += Dataset.objects.filter(pk=dataset.pk, credentials=dataset.credentials).update(credentials=renewed)
    return changed, shut


def _vault() -> Vault:
    """Never makes a key: with a new one nothing that is there could be opened. Raises CredentialsLocked."""
    if settings.SECRETS_KEYS:
        return Vault(settings.SECRETS_KEYS)
    if not settings.HOME.secrets_key.exists():
        raise CredentialsLocked("the key file that they were encrypted with is gone from the home")
    return Vault([_generated_key()])


def _generated_key() -> str:
    key = made_once(settings.HOME.secrets_key, lambda: Fernet.generate_key().decode("ascii"))
    try:
        Fernet(key)
    except ValueError:
        raise CredentialsLocked("the key file in the home is damaged") from None
    return key


def _opened(vault: Vault, dataset_name: str, name: str, text: str) -> str:
    try:
        return vault.open(dataset_name, name, text)
    except NotOpened:
        raise CredentialsLocked("they were encrypted with another key, or for another dataset") from None
