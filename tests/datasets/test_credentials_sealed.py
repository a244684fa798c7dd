"""A secret opens where it was sealed for, with a key of the list, and nowhere else."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from datasets.credentials import NotOpened, Vault

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_what_is_sealed_opens_again_and_does_not_show() -> None:
    sealed = Vault([OLD]).seal("models", "word", "geheim-ß")
    assert "geheim" not in sealed and sealed.isascii()
    assert Vault([OLD]).open("models", "word", sealed) == "geheim-ß"


def test_the_same_secret_looks_different_each_time() -> None:
    assert Vault([OLD]).seal("models", "word", "x") != Vault([OLD]).seal("models", "word", "x")


@pytest.mark.parametrize(("owner", "name"), [("others", "word"), ("models", "second"), ("", "")])
def test_a_sealed_text_that_was_moved_does_not_open(owner: str, name: str) -> None:
    vault = Vault([OLD])
    with pytest.raises(NotOpened):
        vault.open(owner, name, vault.seal("models", "word", "x"))


def test_what_was_changed_or_is_no_sealed_text_does_not_open() -> None:
    vault = Vault([OLD])
    sealed = vault.seal("models", "word", "x")
    for text in (sealed[:-4] + "AAA=", sealed[:40], "", "x", "ß", Fernet(OLD.encode()).encrypt(b"[]").decode()):
        with pytest.raises(NotOpened):
            vault.open("models", "word", text)


def test_the_first_key_seals_and_every_key_opens() -> None:
    old = Vault([OLD]).seal("models", "word", "x")
    assert Vault([NEW, OLD]).open("models", "word", old) == "x"
    new = Vault([NEW, OLD]).seal("models", "word", "x")
    with pytest.raises(NotOpened):
        Vault([OLD]).open("models", "word", new)


def test_a_renewed_text_needs_the_old_key_no_more_and_is_still_bound() -> None:
    renewed = Vault([NEW, OLD]).renew(Vault([OLD]).seal("models", "word", "x"))
    assert Vault([NEW]).open("models", "word", renewed) == "x"
    with pytest.raises(NotOpened):
        Vault([NEW]).open("others", "word", renewed)
    with pytest.raises(NotOpened):
        Vault([NEW]).renew(Vault([OLD]).seal("models", "word", "x"))
