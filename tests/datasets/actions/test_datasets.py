"""Datasets: who may make, change and delete them, and what a wrong form is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden, InvalidFields
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


def test_a_teammate_who_views_a_stranger_and_nobody_may_not_make_one(
    home: Home, files: Path, team: Team, bob: User, charlie: User
) -> None:
    for person in (bob, charlie, AnonymousUser()):
        with pytest.raises(Forbidden):
            make(team, files, for_user(person))
    assert not Dataset.objects.exists()


def test_an_administrator_may_make_one_for_any_team(home: Home, files: Path, team: Team, admin: User) -> None:
    assert make(team, files, for_user(admin)).team == team


def test_every_wrong_field_is_named_at_once(home: Home, team: Team, owner: Principal) -> None:
    errors = errors_of(team, "", owner, name="No Good", description="x" * 201)
    assert set(errors) == {"name", "description", "options.path"}


def test_a_name_in_use_is_refused(home: Home, files: Path, team: Team, owner: Principal) -> None:
    make(team, files, owner, name="taken")
    assert "already" in errors_of(team, files, owner, name="taken")["name"][0]


def test_a_name_taken_between_the_look_and_the_insert_is_refused(
    home: Home, files: Path, team: Team, owner: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(**_: Any) -> None:
        raise IntegrityError

    monkeypatch.setattr(Dataset.objects, "create", lose)
    assert "already" in errors_of(team, files, owner)["name"][0]


def test_an_unknown_kind_is_refused(home: Home, files: Path, team: Team, owner: Principal) -> None:
    assert "local" in errors_of(team, files, owner, kind="ftp")["kind"][0]


def test_an_unknown_option_is_refused(home: Home, files: Path, team: Team, owner: Principal) -> None:
    assert "options.bucket" in errors_of(team, files, owner, options={"path": str(files), "bucket": "b"})


def test_an_option_that_is_not_text_is_refused(home: Home, files: Path, team: Team, owner: Principal) -> None:
    assert "text" in errors_of(team, files, owner, options={"path": ["/"]})["options.path"][0]


@pytest.mark.parametrize("path", ["/etc", "relative", "/no/such/place", "/srv\0x"])
def test_a_directory_outside_the_allowed_ones_is_refused(home: Home, team: Team, owner: Principal, path: str) -> None:
    assert "options.path" in errors_of(team, path, owner)


def test_the_refusal_names_the_allowed_directories_and_the_setting(
    home: Home, tmp_path: Path, team: Team, owner: Principal
) -> None:
    message = errors_of(team, "/etc", owner)["options.path"][0]
    assert str(tmp_path / "allowed") in message
    assert "DATASET_ROOTS" in message


def test_a_directory_that_links_outside_is_refused(
    home: Home, files: Path, tmp_path: Path, team: Team, owner: Principal
) -> None:
    (files.parent / "way-out").symlink_to(tmp_path)
    assert "options.path" in errors_of(team, files.parent / "way-out", owner)


def test_an_update_changes_what_is_given(dataset: Dataset, files: Path, owner: Principal) -> None:
    datasets.update(dataset, options={"path": str(files / "svm")}, actor=owner)
    dataset.refresh_from_db()
    assert dataset.options == {"path": str(files / "svm")}
    assert dataset.description == ""


def test_a_wrong_update_changes_nothing(dataset: Dataset, files: Path, owner: Principal) -> None:
    with pytest.raises(InvalidFields) as caught:
        datasets.update(dataset, options={"path": "/etc"}, description="new", actor=owner)
    assert set(caught.value.errors) == {"options.path"}
    dataset.refresh_from_db()
    assert (dataset.options, dataset.description) == ({"path": str(files)}, "")


def test_only_editors_and_owners_change_and_delete(dataset: Dataset, bob: User, charlie: User) -> None:
    for person in (bob, charlie, AnonymousUser()):
        with pytest.raises(Forbidden):
            datasets.update(dataset, description="mine", actor=for_user(person))
        with pytest.raises(Forbidden):
            datasets.delete(dataset, actor=for_user(person))
    assert Dataset.objects.filter(description="").exists()


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


def test_people_see_the_datasets_of_their_teams(
    dataset: Dataset, principal_of: Callable[[User], Principal], alice: User, bob: User, charlie: User, admin: User
) -> None:
    seen = [Dataset.objects.visible_to(principal_of(user)).count() for user in (alice, bob, charlie, admin)]
    assert seen == [1, 1, 0, 1]
