"""Values that a database refuses, such as NUL in a text on PostgreSQL: a sentence, and never a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import DataError, connection
from django.test import Client

from console.models import Team
from console.web import trouble

ClientOf = Callable[[User | None], Client]
NUL = "a\x00b"
REFUSED = "A value holds a character that cannot be stored"


@pytest.mark.parametrize("path", ["services/a%00b/", "datasets/a%00b/", "queues/a%00b/", "teams/a%00b/"])
@pytest.mark.parametrize("prefix", ["/", "/api/v1/"])
def test_a_name_in_an_address(prefix: str, path: str, team: Team, alice: User, client_of: ClientOf) -> None:
    answer = client_of(alice).get(prefix + path)
    refused = connection.vendor == "postgresql" and prefix == "/"  # to the API it is a name that nothing has
    assert answer.status_code == (400 if refused else 404)
    assert (REFUSED in answer.content.decode()) == refused


@pytest.mark.parametrize("query", ["?q=a%00b", "?team=a%00b", "?name=a%00b&state=a%00b"])
@pytest.mark.parametrize("path", ["/services/", "/datasets/", "/keys/", "/usage/", "/api/v1/services/"])
def test_a_filter_of_a_list(path: str, query: str, team: Team, alice: User, client_of: ClientOf) -> None:
    assert client_of(alice).get(path + query).status_code < 500


def test_a_form(team: Team, alice: User, client_of: ClientOf) -> None:
    fields = ("name", "framework", "dataset", "queue", "replicas", "team", "verb")
    for path in ("/services/new/", "/datasets/", "/keys/", f"/teams/{team.name}/"):
        assert client_of(alice).post(path, dict.fromkeys(fields, NUL)).status_code < 500, path


@pytest.mark.parametrize("value", [NUL, {NUL: NUL}, [NUL]], ids=["text", "object", "list"])
def test_a_body_of_the_api(value: Any, team: Team, alice: User, client_of: ClientOf) -> None:
    for path in ("services", "datasets", "keys"):
        for field in ("description", "env", "options", "framework_config", "dataset", "services"):
            body = {"name": "odd", "kind": "local", "team": team.name, "framework": "triton", field: value}
            answer = client_of(alice).post(f"/api/v1/{path}/", body, content_type="application/json")
            assert answer.status_code < 500, (path, field)


def test_a_cookie_of_a_session(client: Client, db: None) -> None:
    client.raise_request_exception = False  # it fails before any view: see console.web.views.server_error
    answer = client.get("/services/", headers={"Cookie": f'{settings.SESSION_COOKIE_NAME}="abcdefgh\\000ijkl"'})
    assert answer.status_code == (400 if connection.vendor == "postgresql" else 302)


def test_nothing_else_is_taken_for_it() -> None:
    assert trouble.explain(DataError("x")) is None, "what runs without a request must not be tried for ever"
    assert trouble.of_request(ValueError("x")) is None
