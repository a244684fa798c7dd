"""Credentials of datasets as they are made, changed and looked at: what is refused, and where it is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from console.accounts.principal import SYSTEM, Principal, for_user
from console.errors import Conflict, InvalidFields
from console.home import Home
from console.models import Team
from console.web.rates import TooOften
from datasets import credentials
from datasets.actions import datasets, drafts
from datasets.models import Dataset
from tests.datasets.guarded import WORD, guard


def stored(dataset: Dataset) -> dict[str, str]:
    dataset.refresh_from_db()
    return credentials.unseal(dataset.name, dataset.credentials)


def refused(dataset: Dataset, actor: Principal, **changes: Any) -> Mapping[str, list[str]]:
    """The same is refused when it is only looked at."""
    errors = []
    for verb in (datasets.update, datasets.check_dataset):
        with pytest.raises(InvalidFields) as caught:
            verb(dataset, actor=actor, **changes)  # type: ignore[operator]
        errors.append(caught.value.errors)
    assert errors[0] == errors[1]
    return errors[0]


@pytest.mark.parametrize(
    ("options", "given", "field", "message"),
    [
        ({}, {}, "credentials.word", "Word is required."),
        ({}, {"word": ""}, "credentials.word", "Word is required."),
        ({}, {"word": 5}, "credentials.word", "must be text"),
        ({}, {"word": WORD, "other": "x"}, "credentials.other", "no such option"),
        ({"word": WORD}, {"word": WORD}, "options.word", "Move this to `credentials`"),
        ({}, {"word": WORD, "manner": "rude"}, "credentials.manner", "Move this to `options`"),
        ({"manner": "loud"}, {"word": WORD}, "options.manner", "Choose one of: polite, rude"),
        ({"manner": "rude"}, {"word": WORD}, "options.manner", "Not in that manner."),
        ({}, {"word": "wrong"}, "credentials.word", "That is not the word."),
        ({"place": "/etc"}, {"word": WORD}, "options.place", "not inside a directory"),
        ({"list": "x" * 70_000}, {"word": WORD}, "options.list", "At most"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    options: dict[str, str],
    given: dict[str, Any],
    field: str,
    message: str,
    guarded_kind: None,
    home: Home,
    files: Path,
    team: Team,
    owner: Principal,
) -> None:
    guard(files)
    sent = {"kind": "guarded", "options": {"place": str(files), **options}, "credentials": given}
    for verb in (
        lambda: datasets.create(team=team, name="new", actor=owner, **sent),  # type: ignore[arg-type]
        lambda: datasets.check(team=team, actor=owner, **sent),
    ):  # type: ignore[arg-type]
        with pytest.raises(InvalidFields) as caught:
            verb()
        assert message in caught.value.errors[field][0] and WORD not in str(caught.value)
    assert not Dataset.objects.exists()


def test_a_credential_left_out_stays_and_an_empty_one_is_removed(guarded_dataset: Dataset, owner: Principal) -> None:
    datasets.update(guarded_dataset, credentials={"second": "two"}, actor=owner)
    assert stored(guarded_dataset) == {"word": WORD, "second": "two"}
    assert "Both words" in datasets.check_dataset(guarded_dataset, actor=owner)
    datasets.update(guarded_dataset, description="Words.", actor=owner)
    datasets.update(guarded_dataset, credentials={"second": ""}, actor=owner)
    assert stored(guarded_dataset) == {"word": WORD}


def test_a_required_credential_is_not_removed(guarded_dataset: Dataset, owner: Principal) -> None:
    assert "required" in refused(guarded_dataset, owner, credentials={"word": ""})["credentials.word"][0]
    assert stored(guarded_dataset) == {"word": WORD}


def test_a_stored_credential_is_not_led_to_another_place(
    guarded_dataset: Dataset, files: Path, owner: Principal
) -> None:
    """Else an editor could have the console send a teammate's key to a server of their own."""
    guard(files.parent / "mine", "whatever")
    elsewhere = {"place": str(files.parent / "mine")}
    message = "Enter it again, or remove it: a stored one is not used with another place."
    assert refused(guarded_dataset, owner, options=elsewhere) == {"credentials.word": [message]}
    datasets.update(guarded_dataset, options=elsewhere, credentials={"word": "whatever"}, actor=owner)
    assert stored(guarded_dataset) == {"word": "whatever"} and guarded_dataset.options == elsewhere


def test_each_stored_credential_has_to_come_along(guarded_dataset: Dataset, files: Path, owner: Principal) -> None:
    datasets.update(guarded_dataset, credentials={"second": "two"}, actor=owner)
    guard(files.parent / "mine")
    elsewhere = {"place": str(files.parent / "mine")}
    assert set(refused(guarded_dataset, owner, options=elsewhere, credentials={"word": WORD})) == {"credentials.second"}
    datasets.update(guarded_dataset, options=elsewhere, credentials={"word": WORD, "second": ""}, actor=owner)
    assert stored(guarded_dataset) == {"word": WORD}


def test_what_leads_nowhere_else_changes_without_credentials(
    guarded_dataset: Dataset, files: Path, owner: Principal
) -> None:
    datasets.update(guarded_dataset, options={"place": str(files), "list": "a\nb"}, actor=owner)
    assert stored(guarded_dataset) == {"word": WORD} and guarded_dataset.options["list"] == "a\nb"


def test_options_of_one_request_never_meet_credentials_of_another(
    guarded_dataset: Dataset, files: Path, owner: Principal
) -> None:
    stale = Dataset.objects.get(pk=guarded_dataset.pk)
    guard(files.parent / "theirs", "theirs")
    datasets.update(
        guarded_dataset, options={"place": str(files.parent / "theirs")}, credentials={"word": "theirs"}, actor=owner
    )
    with pytest.raises(Conflict, match="has changed this dataset"):
        datasets.update(stale, options={"place": str(files), "list": "x"}, actor=owner)
    assert stored(guarded_dataset) == {"word": "theirs"}
    assert guarded_dataset.options == {"place": str(files.parent / "theirs")}


def test_who_looks_too_often_has_to_wait_and_nobody_else_has(
    guarded_dataset: Dataset, team: Team, owner: Principal, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "CHECKS", 3)  # making the dataset was the first
    for _ in range(2):
        datasets.check_dataset(guarded_dataset, actor=owner)
    for verb in (
        lambda: datasets.check_dataset(guarded_dataset, actor=owner),
        lambda: datasets.update(guarded_dataset, credentials={"word": "guess"}, actor=owner),
        lambda: datasets.create(
            team=team, name="x", kind="guarded", options=guarded_dataset.options, credentials={"word": "x"}, actor=owner
        ),
    ):
        with pytest.raises(TooOften, match="alice did this 3 times"):
            verb()
    datasets.update(guarded_dataset, description="Connects nowhere.", actor=owner)
    for other in (for_user(admin), SYSTEM):
        assert datasets.check_dataset(guarded_dataset, actor=other)
