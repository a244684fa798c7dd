"""Every address of the console, also one that is added tomorrow: nobody gets in, and a stranger sees nothing of a team.

What owners and teammates may do differs from page to page, and is tested beside each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from console.models import Team
from datasets.models import Dataset, Round
from services.models import ApiKey, Revision, Service
from services.specs import ServiceSpec

ClientOf = Callable[[User | None], Client]
PUBLIC = {"/login/", "/healthz", "/livez", "/api/v1/schema/", "/api/v1/docs/"}
OWNED = {"services": "echo", "datasets": "models", "keys": "1", "teams": "vision"}
"""First part of an address -> what Alice's team has there."""


def routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for each in patterns:
        here = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from routes(each.url_patterns, here)
        else:
            yield simplify_regex(here).replace("//", "/")


ALL = sorted({route for route in routes(get_resolver().url_patterns) if "format" not in route})
OF_A_TEAM = {
    route: match[1] for route in ALL if (match := re.match(r"(?:/api/v1)?/([a-z]+)/<", route)) and match[1] in OWNED
}
"""Address -> its first part."""


def filled(route: str, owned: str = "echo") -> str:
    """An address in which every variable has a value; the first is the name of the thing."""
    path = re.sub(r"<(?:\w+:)?(?:name|pk|id|team)>", owned, route, count=1)
    path = path.replace("<verb>", "stop").replace("<str:verb>", "stop")
    return re.sub(r"<(?:\w+:)?\w+>", "1", path)


@pytest.fixture
def things(team: Team, alice: User) -> None:
    dataset = Dataset.objects.create(team=team, name="models", kind="local", options={"path": "/nowhere"})
    job = Round.objects.create(pk=1, dataset=dataset, path="", node="local")
    service = Service.objects.create(team=team, name="echo", state_since=timezone.now())
    spec = ServiceSpec(framework="triton", dataset="models", model_path="", queue="default")
    service.target = Revision.objects.create(service=service, number=1, spec=spec.to_json(), round=job)
    service.save()
    ApiKey.objects.create(pk=1, team=team, name="ci", key_id="a" * 12, digest="b" * 64)


def test_there_are_addresses_to_test() -> None:
    assert len(ALL) > 50
    assert len(OF_A_TEAM) > 25


@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_gets_in(things: None, client: Client, method: str) -> None:
    for route in ALL:
        if route in PUBLIC:
            continue
        answer = getattr(client, method)(filled(route))
        if answer.status_code == 302:
            assert answer.headers["Location"].startswith("/login/"), route
        else:
            assert answer.status_code in {401, 404, 405}, (route, answer.content[:300])


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_sees_nothing_of_a_team(things: None, client_of: ClientOf, charlie: User, method: str) -> None:
    client = client_of(charlie)
    for route, kind in OF_A_TEAM.items():
        answer = getattr(client, method)(filled(route, OWNED[kind]))
        assert answer.status_code in {404, 405}, (route, answer.status_code, answer.content[:300])
        assert b"mnist" not in answer.content, route


def test_the_owner_finds_what_the_stranger_does_not(things: None, client_of: ClientOf, alice: User) -> None:
    """The control: the addresses above are right, and the 404 of a stranger is not that of a wrong address."""
    client = client_of(alice)
    for route, kind in OF_A_TEAM.items():
        assert client.get(filled(route, OWNED[kind])).status_code != 404, route
