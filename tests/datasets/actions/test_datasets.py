"""Datasets: who may make, change and delete them, and what a wrong form is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, InvalidFields
from console.home import Home
from console.models import Team
from datasets.actions import datasets
from datasets.actions.rounds import request_round
from datasets.models import Dataset, Round
from datasets.signals import dataset_deleting

pytestmark = pytest.mark.django_db


def make(team: Team, path: Path | str, actor: Principal, **changes: Any) -> Dataset:
    fields: dict[str, Any] = {"name": "models", "kind": "local", "options": {"path": str(path)}} | changes
    return datasets.create(team=team, actor=actor, **fields)


def errors_of(team: Team, path: Path | str, actor: Principal, **changes: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidFields) as caught:
        make(team, path, actor, **changes)
    assert not Dataset.objects.exclude(name="taken").exists()
    return caught.value.errors


def test_an_owner_makes_a_dataset(home: Home, files: Path, team: Team, owner: Principal) -> None:
    dataset = make(team, files, owner, description="Ours")
    assert (dataset.name, dataset.kind, dataset.options, dataset.created_by) == (
        "models",
        "local",
        {"path": str(files)},
        "alice",
    )


def test_an_administrator_may_make_one_for_any_team(home: Home, files: Path, team: Team, admin: User) -> None:
    assert make(team, files, for_user(admin)).team == team


def test_a_name_taken_between_the_look_and_the_insert_is_refused(
    home: Home, files: Path, team: Team, owner: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(**_: Any) -> None:
        raise IntegrityError

    monkeypatch.setattr(Dataset.objects, "create", lose)
    assert "already" in errors_of(team, files, owner)["name"][0]


@pytest.mark.parametrize("path", ["/etc", "relative", "/no/such/place", "/srv\0x"])
def test_a_directory_outside_the_allowed_ones_is_refused(home: Home, team: Team, owner: Principal, path: str) -> None:
    assert "options.path" in errors_of(team, path, owner)


def test_an_update_changes_what_is_given(dataset: Dataset, files: Path, owner: Principal) -> None:
    datasets.update(dataset, options={"path": str(files / "svm")}, actor=owner)
    dataset.refresh_from_db()
    assert dataset.options == {"path": str(files / "svm")}
    assert dataset.description == ""


def test_a_deleted_dataset_takes_its_rounds_along(dataset: Dataset, owner: Principal) -> None:
    request_round(dataset, "svm", actor=owner)
    datasets.delete(dataset, actor=owner)
    assert not Dataset.objects.exists()
    assert not Round.objects.exists()


def test_another_app_can_keep_a_dataset_from_being_deleted(dataset: Dataset, owner: Principal) -> None:
    def veto(sender: type[Dataset], dataset: Dataset, **_: Any) -> None:
        raise Conflict(f"{dataset.name} is used by the service a.")

    dataset_deleting.connect(veto)
    try:
        with pytest.raises(Conflict, match="used by the service a"):
            datasets.delete(dataset, actor=owner)
    finally:
        dataset_deleting.disconnect(veto)
    assert Dataset.objects.exists()
