"""What pages, the REST API and /healthz say while a part is away. Real parts: integration/survival."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from console import room
from services.actions import places
from services.models import GatewayRevision, Service
from services.queries import dashboard, standing

FULL = room.Room(Path("/srv/home"), 0, 1 << 30, errno.ENOSPC)
SENTENCE = "The disk of local is full: 0 MiB of 1.0 GiB are free."


@pytest.fixture(autouse=True)
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "CURRENT", -1)
    monkeypatch.setattr(room, "CURRENT", -1)


@pytest.fixture
def nothing_listens(settings: Settings) -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        settings.GATEWAY_PORT = probe.getsockname()[1]
    sentence = "The gateway does not answer: every request is refused, connection refused"
    return f"{sentence} (127.0.0.1:{settings.GATEWAY_PORT})."


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "measure", lambda _: FULL)


@pytest.fixture
def silent(settings: Settings) -> Iterator[None]:
    """A port that takes connections in the place of the gateway, which does not run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.GATEWAY_PORT = server.getsockname()[1]
        yield


def test_the_state_of_a_service_stays_and_its_condition_says_that_nobody_gets_there(
    nothing_listens: str, ready: Callable[..., Service], client_of: Callable[[User | None], Client], alice: User
) -> None:
    ready(name="echo")
    answer = client_of(alice).get("/api/v1/services/echo/").json()
    (condition,) = [each for each in answer["conditions"] if each["type"] == "Reachable"]
    assert answer["state"] == "READY"
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "GatewayAway", nothing_listens)


@pytest.mark.parametrize("path", ["/", "/services/", "/services/echo/", "/nodes/local/", "/datasets/", "/problems/"])
def test_every_page_says_what_is_wrong(
    nothing_listens: str,
    full_disk: None,
    ready: Callable[..., Service],
    client_of: Callable[[User | None], Client],
    alice: User,
    path: str,
) -> None:
    ready(name="echo")
    page = client_of(alice).get(path).content.decode()
    assert nothing_listens in page
    assert SENTENCE in page and "Free space in /srv/home." in page


def test_what_is_wrong_is_no_business_of_strangers(
    nothing_listens: str, full_disk: None, client_of: Callable[[User | None], Client]
) -> None:
    nobody = client_of(None)
    assert nobody.get("/problems/").status_code == 302
    assert nothing_listens not in nobody.get("/login/").content.decode()


def test_a_disk_that_hangs_holds_no_page(
    client_of: Callable[[User | None], Client], alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, answers = [], threading.Event()

    def hang(folder: Path) -> room.Room:
        folders.append(folder)
        answers.wait(60)
        return room.Room(folder, 1 << 30, 1 << 30)

    monkeypatch.setattr(room, "measure", hang)
    monkeypatch.setattr(standing, "LATEST", 0.3)
    sentence = "The disk of local does not answer: whatever reads or writes it waits."
    assert sentence in client_of(None).get("/healthz").content.decode()
    assert sentence in client_of(alice).get("/datasets/").content.decode()
    assert len(folders) == 1, "one question that hangs is enough"
    answers.set()
    while any(question.is_alive() for question in standing._questions._hanging.values()):
        time.sleep(0.01)
    assert standing.problem_of("disk") is None


def test_healthz_says_what_is_wrong_and_no_path(nothing_listens: str, full_disk: None, client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content.decode()) == (503, f"{nothing_listens}\n{SENTENCE}\n")
    assert client.get("/livez").content == b"ok\n"


def test_the_dashboard_of_the_api_names_each_part(
    nothing_listens: str, full_disk: None, client_of: Callable[[User | None], Client], alice: User
) -> None:
    board = client_of(alice).get("/api/v1/dashboard/").json()
    problems = [(problem["part"], problem["message"]) for problem in board["problems"]]
    assert problems == [("gateway", nothing_listens), ("disk", SENTENCE)]
    assert (board["gateway"]["state"], board["gateway"]["sentence"]) == ("away", nothing_listens)


@pytest.mark.django_db
def test_a_gateway_that_is_away_does_not_go_on_with_anything(nothing_listens: str) -> None:
    GatewayRevision.objects.create(services=1, keys=1, error="no such cluster")
    assert dashboard.gateway().refusal == "The gateway refused the newest configuration."


def test_something_else_in_its_place_is_not_taken_for_the_gateway(silent: None) -> None:
    problem = standing.problem_of("gateway")
    assert problem
    assert "something listens in its place" in problem.message


def test_the_node_says_what_is_wrong_with_its_disk(
    full_disk: None, client_of: Callable[[User | None], Client], alice: User
) -> None:
    places.report_node()
    answer = client_of(alice).get("/api/v1/nodes/local/").json()
    assert answer["problem"].startswith(f"{SENTENCE} Free space in /srv/home.")


def test_a_sweep_that_ended_is_noted_without_the_database(settings: Settings) -> None:
    settings.HOME.run.mkdir(parents=True, exist_ok=True)
    places.note_sweep()
    os.utime(settings.HOME.swept, (0, 0))
    places.note_sweep()
    assert settings.HOME.swept.stat().st_mtime > 0
