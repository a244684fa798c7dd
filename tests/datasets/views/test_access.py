"""Who may open which page of a dataset, and who may change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from console.home import Home
from console.models import Team
from datasets.actions.rounds import request_round
from datasets.models import Dataset, Round

ClientOf = Callable[[User | None], Client]


@pytest.mark.parametrize("page", ["dataset", "dataset-rounds"])
def test_the_team_sees_a_dataset_and_nobody_else_does(
    page: str, dataset: Dataset, alice: User, bob: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    url = reverse(page, args=[dataset.name])
    assert [client_of(user).get(url).status_code for user in (alice, bob, admin)] == [200, 200, 200]
    assert client_of(charlie).get(url).status_code == 404
    assert client_of(None).get(url)["Location"].startswith(reverse("login"))


def test_the_list_holds_only_ones_own(
    dataset: Dataset, bob: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    url, link = reverse("datasets"), f'href="{reverse("dataset", args=[dataset.name])}"'
    assert link in client_of(bob).get(url).content.decode()
    assert link in client_of(admin).get(url).content.decode()
    assert link not in client_of(charlie).get(url).content.decode()
    assert client_of(None).get(url).status_code == 302


def test_a_viewer_changes_nothing_and_a_stranger_finds_nothing(
    dataset: Dataset, owner: Principal, bob: User, charlie: User, client_of: ClientOf
) -> None:
    job = request_round(dataset, "svm", actor=owner)
    name = dataset.name
    urls = [
        reverse("dataset-preheat", args=[name]),
        reverse("dataset-delete", args=[name]),
        reverse("dataset-edit", args=[name]),
        reverse("round-cancel", args=[name, job.pk]),
    ]
    sent = {"confirm": name, "path": "", "description": "x", "options.path": "/"}
    for url in urls:
        assert client_of(bob).post(url, sent).status_code == 403
        assert client_of(charlie).post(url, sent).status_code == 404
        assert client_of(None).post(url, sent).status_code == 302
    assert client_of(bob).get(urls[2]).status_code == 403
    assert Dataset.objects.get().description == "" and Round.objects.get().state == "PENDING"


def test_a_viewer_is_offered_nothing_to_change(dataset: Dataset, bob: User, client_of: ClientOf) -> None:
    page = client_of(bob).get(reverse("dataset", args=[dataset.name])).content.decode()
    assert "Preheat this" not in page and "Delete" not in page and "Create a service" not in page
    assert "New dataset" not in client_of(bob).get(reverse("datasets")).content.decode()


def test_who_may_not_edit_makes_no_dataset(
    team: Team, home: Home, files: Path, bob: User, charlie: User, client_of: ClientOf
) -> None:
    sent = {"name": "mine", "team": str(team.pk), "kind": "local", "options.path": str(files)}
    assert client_of(bob).post(reverse("datasets"), sent).status_code == 403
    assert "Select a valid choice" in client_of(charlie).post(reverse("datasets"), sent).content.decode()
    assert client_of(None).post(reverse("datasets"), sent).status_code == 302
    assert not Dataset.objects.exists()
