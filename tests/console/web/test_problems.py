"""What the REST API answers when something breaks that nobody thought of."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.renderers import JSONRenderer

from services.api.services import Services

SECRET = "the password is hunter2"
ClientOf = Callable[[User | None], Client]


@pytest.fixture
def client(client_of: ClientOf, alice: User) -> Client:
    django_client = client_of(alice)
    django_client.raise_request_exception = False
    return django_client


def broken(*_args: object, **_kwargs: object) -> None:
    raise RuntimeError(SECRET)


def test_an_unexpected_error_is_a_problem_that_tells_nothing_and_is_logged(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Services, "get_queryset", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/api/v1/services/")
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    problem = json.loads(answer.content)
    assert (problem["type"], problem["status"]) == ("urn:inference-console:internal", 500)
    assert SECRET not in answer.content.decode()
    assert SECRET in caplog.text and "GET /api/v1/services/ failed" in caplog.text


def test_an_unexpected_error_is_raised_in_tests(
    client_of: ClientOf, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Services, "get_queryset", broken)
    with pytest.raises(RuntimeError, match="hunter2"):
        client_of(alice).get("/api/v1/services/")


def test_an_error_while_an_answer_is_rendered_is_a_problem_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JSONRenderer, "render", broken)
    answer = client.get("/api/v1/services/", headers={"Accept": "application/json"})
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert json.loads(answer.content)["status"] == 500
    assert SECRET not in answer.content.decode()


def test_a_page_that_breaks_stays_a_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/no/such/page")["Content-Type"].startswith("text/html")
    monkeypatch.setattr("services.queries.dashboard.read", broken)
    answer = client.get("/")
    assert (answer.status_code, answer["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert SECRET not in answer.content.decode()
