"""Credentials at rest: sealed, bound to their dataset, and lost in words when their key is."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from console.accounts.principal import Principal
from console.home import Home
from datasets import credentials, wiring
from datasets.actions import datasets
from datasets.errors import CredentialsLocked
from datasets.models import Dataset
from datasets.queries import browsing
from tests.datasets.guarded import WORD


def test_nothing_in_the_database_shows_a_secret(guarded_dataset: Dataset) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM datasets_dataset")
        row = str(cursor.fetchall())
    assert WORD not in row and "word" in row


def test_the_key_is_made_once_and_for_the_owner_only(guarded_dataset: Dataset, home: Home) -> None:
    assert home.secrets_key.stat().st_mode & 0o777 == 0o600
    before = home.secrets_key.read_text()
    credentials.seal("other", {"word": "x"})
    assert home.secrets_key.read_text() == before
    assert [file.name for file in home.root.iterdir() if "secrets_key" in file.name] == ["secrets_key"]


def test_a_source_gets_options_and_secrets_together(guarded_dataset: Dataset) -> None:
    assert wiring.source_of(guarded_dataset).check().startswith("The folder opened.")
    assert [entry.name for entry in browsing.browse(guarded_dataset).entries][:1] == ["svm"]


def test_sealed_credentials_of_another_dataset_do_not_open(guarded_dataset: Dataset) -> None:
    stolen = Dataset.objects.create(
        team=guarded_dataset.team,
        name="mine",
        kind="guarded",
        options=guarded_dataset.options,
        credentials=guarded_dataset.credentials,
    )
    with pytest.raises(CredentialsLocked, match="for another dataset"):
        wiring.source_of(stolen)


def test_a_lost_key_is_said_and_not_replaced(guarded_dataset: Dataset, home: Home) -> None:
    home.secrets_key.unlink()
    with pytest.raises(CredentialsLocked, match=r"gone from the home.*secrets_key") as caught:
        wiring.source_of(guarded_dataset)
    assert caught.value.permanent and not home.secrets_key.exists()


def test_a_damaged_key_is_said(guarded_dataset: Dataset, home: Home) -> None:
    home.secrets_key.write_text("short")
    with pytest.raises(CredentialsLocked, match="damaged"):
        wiring.source_of(guarded_dataset)


def test_another_key_is_said(guarded_dataset: Dataset, settings: Settings) -> None:
    settings.SECRETS_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CredentialsLocked, match="another key"):
        wiring.source_of(guarded_dataset)


def test_credentials_entered_again_heal_a_dataset(guarded_dataset: Dataset, home: Home, owner: Principal) -> None:
    home.secrets_key.unlink()
    healed = datasets.update(guarded_dataset, credentials={"word": WORD}, actor=owner)
    assert wiring.source_of(healed).check()


def test_rotation_makes_the_old_key_needless(
    guarded_dataset: Dataset, dataset: Dataset, home: Home, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = home.secrets_key.read_text(), Fernet.generate_key().decode()
    settings.SECRETS_KEYS = [new, old]
    call_command("rotate_secrets")
    output = capsys.readouterr().out
    assert "1 dataset encrypted" in output and WORD not in output
    settings.SECRETS_KEYS = [new]
    guarded_dataset.refresh_from_db()
    assert wiring.source_of(guarded_dataset).check()


def test_rotation_names_what_no_key_opens(guarded_dataset: Dataset, settings: Settings, home: Home) -> None:
    settings.SECRETS_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="guarded"):
        call_command("rotate_secrets")
    settings.SECRETS_KEYS = []
    home.secrets_key.unlink()
    with pytest.raises(CommandError, match="gone from the home"):
        call_command("rotate_secrets")
