"""Enqueueing: after commit, and never in the way of a request."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from console import dispatch
from console.celery import app as console_app

Commit = Callable[..., Any]
pytestmark = pytest.mark.django_db


@pytest.fixture
def use_broker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sends to another broker for the test."""

    def use(url: str) -> Celery:
        app = Celery("test", broker=url, set_as_current=False)
        app.conf.broker_transport_options = {"socket_timeout": 10, "socket_connect_timeout": 5, "max_retries": 1}
        monkeypatch.setattr(dispatch, "app", app)
        return app

    return use


def test_nothing_is_sent_before_the_commit(use_broker: Any, django_capture_on_commit_callbacks: Commit) -> None:
    app = use_broker("memory://nothing-before")
    with django_capture_on_commit_callbacks(execute=False) as callbacks:
        dispatch.on_commit("datasets.run_round", 5)
    assert waiting(app) is None
    for callback in callbacks:
        callback()
    message = waiting(app)
    assert message is not None
    assert message.headers["task"] == "datasets.run_round"
    assert message.decode()[0] == [5]


def waiting(app: Celery) -> Any:
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        try:
            return queue.get_nowait()
        except queue.Empty:
            return None


def test_a_broker_that_is_away_is_only_logged(
    use_broker: Any, tmp_path: Path, django_capture_on_commit_callbacks: Commit, caplog: pytest.LogCaptureFixture
) -> None:
    use_broker(f"redis+socket://{tmp_path}/nobody.sock")
    started = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        dispatch.on_commit("datasets.run_round", 5)
    assert time.monotonic() - started < 20
    assert "datasets.run_round" in caplog.text


def test_a_broker_that_says_nothing_holds_nobody_up(
    use_broker: Any, django_capture_on_commit_callbacks: Commit, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        use_broker(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        started = time.monotonic()
        with django_capture_on_commit_callbacks(execute=True):
            dispatch.on_commit("datasets.run_round", 5)
        assert time.monotonic() - started < 20
    assert "has not taken datasets.run_round(5,) yet" in caplog.text


def test_the_tasks_are_known_by_the_names_that_messages_carry() -> None:
    from datasets import tasks  # noqa: F401  (a worker finds it by its name)

    assert {"datasets.run_round", "datasets.sweep"} <= set(console_app.tasks)
