"""Whether a team trusts what of a dataset runs as code: who may say so, and that it is recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse

from console import roles
from console.errors import Forbidden
from console.models import Membership
from console.principal import Principal, for_user
from datasets import trust
from datasets.models import Dataset

ClientOf = Callable[[User | None], Client]


def test_a_new_dataset_is_not_trusted_until_an_owner_says_so(dataset: Dataset, owner: Principal) -> None:
    assert not dataset.trusted
    trust.trust(dataset, actor=owner)
    dataset.refresh_from_db()
    assert dataset.trusted and dataset.trusted_by == "alice" and dataset.trusted_at is not None


def test_who_trusted_it_first_stays_on_record(dataset: Dataset, owner: Principal, admin: User) -> None:
    trust.trust(dataset, actor=owner)
    trust.trust(dataset, actor=for_user(admin))
    assert dataset.trusted_by == "alice"


def test_trust_can_be_taken_back(dataset: Dataset, owner: Principal, admin: User) -> None:
    trust.trust(dataset, actor=owner)
    trust.withdraw(dataset, actor=for_user(admin))
    dataset.refresh_from_db()
    assert not dataset.trusted and dataset.trusted_by == "root"


@pytest.mark.parametrize("role", [roles.VIEWER, roles.EDITOR])
def test_only_an_owner_may_say_so(dataset: Dataset, bob: User, role: str) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    for verb in (trust.trust, trust.withdraw):
        with pytest.raises(Forbidden, match="role owner"):
            verb(dataset, actor=for_user(bob))
    dataset.refresh_from_db()
    assert not dataset.trusted


def test_the_page_shows_it_and_its_button_changes_it(dataset: Dataset, alice: User, client_of: ClientOf) -> None:
    browser, page = client_of(alice), reverse("dataset", args=[dataset.name])
    assert "not trusted" in browser.get(page).content.decode()
    assert browser.post(reverse("dataset-trust", args=[dataset.name]), {"trusted": "yes"})["Location"] == page
    said = browser.get(page).content.decode()
    assert "Take it back" in said and "by alice" in said
    browser.post(reverse("dataset-trust", args=[dataset.name]), {"trusted": "no"})
    assert "Trust the code in this dataset" in browser.get(page).content.decode()


def test_who_may_not_sees_no_button_and_is_refused(
    dataset: Dataset, bob: User, charlie: User, client_of: ClientOf
) -> None:
    page = client_of(bob).get(reverse("dataset", args=[dataset.name])).content.decode()
    assert "An owner of team vision can change that." in page and "Trust the code" not in page
    where = reverse("dataset-trust", args=[dataset.name])
    assert client_of(bob).post(where, {"trusted": "yes"}).status_code == 403
    assert client_of(charlie).post(where, {"trusted": "yes"}).status_code == 404
    assert client_of(None).post(where, {"trusted": "yes"}).status_code == 302
    dataset.refresh_from_db()
    assert not dataset.trusted


def test_the_api_says_it_too(dataset: Dataset, alice: User, bob: User, client_of: ClientOf) -> None:
    where = reverse("api-dataset-trust", args=[dataset.name])
    answer = client_of(alice).post(where, {"trusted": True}, content_type="application/json")
    assert answer.status_code == 200 and answer.json()["trusted"] and answer.json()["trusted_by"] == "alice"
    assert client_of(bob).post(where, {"trusted": False}, content_type="application/json").status_code == 403
    assert client_of(alice).post(where, {}, content_type="application/json").status_code == 400
    shown = client_of(bob).get(reverse("api-dataset-detail", args=[dataset.name])).json()
    assert shown["trusted"] and shown["trusted_at"]


@pytest.mark.django_db(transaction=True)
def test_datasets_of_before_are_trusted_when_the_database_is_brought_up_to_date() -> None:
    executor = MigrationExecutor(connection)
    [before] = [parent for parent in executor.loader.graph.node_map[("datasets", "0004_trust")].parents
                if parent.key[0] == "datasets"]  # fmt: skip
    try:
        executor.migrate([before.key])
        apps = executor.loader.project_state([before.key]).apps
        team = apps.get_model("console", "Team").objects.create(name="old")
        apps.get_model("datasets", "Dataset").objects.create(team=team, name="old", kind="local", created_by="alice")
        MigrationExecutor(connection).migrate([("datasets", "0004_trust")])
        row = Dataset.objects.values("trusted", "trusted_by").get(name="old")
        assert row == {"trusted": True, "trusted_by": "the console, when it was updated"}
    finally:
        latest = MigrationExecutor(connection)
        latest.migrate(latest.loader.graph.leaf_nodes())
