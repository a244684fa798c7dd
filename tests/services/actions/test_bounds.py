"""A team may have only so many of everything; administrators say how many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from console.accounts import bounds
from console.accounts.principal import SYSTEM, for_user
from console.errors import Conflict, Forbidden, InvalidFields
from console.models import Team
from datasets.actions import datasets
from datasets.actions.rounds import request_round
from datasets.models import Dataset
from services.actions import keys
from services.actions import services as verbs
from services.models import ApiKey, Service
from tests.rest import Api, who_may
from tests.services.world import World

ClientOf = Callable[[User | None], Client]


def test_each_kind_has_a_bound_and_the_sentence_says_what_to_do(
    world: World,
    team: Team,
    alice: User,
    dataset: Dataset,
    payload: dict[str, Any],
    settings: Settings,
) -> None:
    actor = for_user(alice)
    options = dataset.options
    makers: dict[str, Callable[[int], object]] = {
        "services": lambda n: verbs.create({**payload, "name": f"echo-{n}"}, team=team, actor=actor),
        "datasets": lambda n: datasets.create(team=team, name=f"more-{n}", kind="local", options=options, actor=actor),
        "API keys": lambda n: keys.create(team=team, name=f"key-{n}", actor=actor),
        "preheats": lambda n: request_round(dataset, ("", "echo", "echo/1")[n], actor=actor),
    }
    settings.TEAM_BOUNDS = {"services": 2, "datasets": 3, "keys": 2, "preheats": 2}
    for kind, make in makers.items():
        for number in range(2):
            make(number)
        with pytest.raises(
            Conflict, match=rf"Team vision has \d {kind}.* the most it may have. Remove some, or ask an"
        ):
            make(2)
    assert (Service.objects.count(), Dataset.objects.count(), ApiKey.objects.count()) == (2, 3, 2)


def test_what_is_gone_makes_room_again(team: Team, alice: User, settings: Settings, world: World) -> None:
    settings.TEAM_BOUNDS = {**settings.TEAM_BOUNDS, "keys": 1}
    actor = for_user(alice)
    first = keys.create(team=team, name="first", actor=actor)
    with pytest.raises(Conflict):
        keys.rotate(first.row, actor=actor)
    keys.revoke(first.row, actor=actor)
    assert keys.create(team=team, name="second", actor=actor)


def test_a_team_may_have_a_number_of_its_own_and_the_console_is_not_refused(
    team: Team,
    other_team: Team,
    alice: User,
    charlie: User,
    settings: Settings,
    world: World,
) -> None:
    bounds.change(team, {"keys": 0}, actor=SYSTEM)
    with pytest.raises(Conflict, match="has 0 API keys"):
        keys.create(team=team, name="mine", actor=for_user(alice))
    assert keys.create(team=other_team, name="theirs", actor=for_user(charlie))
    assert keys.create(team=team, name="the console's", actor=SYSTEM)
    bounds.change(team, {"keys": None}, actor=SYSTEM)
    assert keys.create(team=team, name="mine", actor=for_user(alice))
    with pytest.raises(InvalidFields):
        bounds.change(team, {"keys": -1}, actor=SYSTEM)
    with pytest.raises(Forbidden):
        bounds.change(team, {"keys": 10**5}, actor=for_user(alice))


def test_over_rest(alice: User, bob: User, charlie: User, admin: User, team: Team) -> None:
    people = {"nobody": Api(), "stranger": Api(charlie), "teammate": Api(bob), "owner": Api(alice)}
    assert who_may(people, lambda api: api.get("teams/vision/")) == {
        "nobody": 401,
        "stranger": 404,
        "teammate": 200,
        "owner": 200,
    }
    body = {"bounds": {"services": 7, "keys": None}}
    assert who_may(people, lambda api: api.patch("teams/vision/", body)) == {
        "nobody": 401,
        "stranger": 404,
        "teammate": 403,
        "owner": 403,
    }
    root = Api(admin)
    assert root.patch("teams/vision/", body).data["bounds"] == {
        "services": 7,
        "datasets": 200,
        "keys": 1000,
        "preheats": 50,
    }
    assert people["teammate"].get("teams/vision/").data["bounds"]["services"] == 7
    assert set(root.patch("teams/vision/", {"bounds": {"keys": -1}}).errors) == {"bounds.keys"}
    assert set(root.patch("teams/vision/", {"name": "x"}).errors) == {"name"}
    assert root.patch("teams/nobody/", body).status == 404


def test_on_the_page_of_the_team(
    alice: User, bob: User, charlie: User, admin: User, team: Team, client_of: ClientOf
) -> None:
    url = reverse("team", args=["vision"])
    form_data = {"verb": "bounds", "services": "9", "datasets": "", "keys": "", "preheats": "0"}
    for user, status in ((alice, 403), (bob, 403), (charlie, 404), (None, 302)):
        assert client_of(user).post(url, form_data).status_code == status
    assert "An administrator can raise these." in client_of(bob).get(url).content.decode()
    wrong = client_of(admin).post(url, {**form_data, "services": "-1"})
    assert wrong.status_code == 200 and "greater than or equal to 0" in wrong.content.decode()
    assert client_of(admin).post(url, form_data)["Location"] == url
    team.refresh_from_db()
    assert (team.most_services, team.most_datasets, team.most_preheats) == (9, None, 0)
