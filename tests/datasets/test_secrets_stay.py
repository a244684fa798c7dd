"""One secret, everything that a dataset goes through, and a search of everything that was written or said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from console import dispatch
from console.accounts.principal import Principal
from console.home import Home
from datasets import wiring
from datasets.actions import drafts
from datasets.actions.rounds import request_round
from datasets.models import Dataset
from tests.datasets.guarded import WORD
from tests.datasets.worker import Worker
from tests.rest import Api

WRONG = "wrong-word-0815"


@pytest.fixture
def read_logs(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Everything that was logged, at any level, by anybody: with its arguments."""
    caplog.set_level(logging.DEBUG)
    yield lambda: "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the worker is sent."""
    messages: list[Any] = []
    monkeypatch.setattr(dispatch, "on_commit", lambda *args, **more: messages.append((args, more)))
    return messages


def everything_stored() -> str:
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows.append(str(cursor.fetchall()))
    return "\n".join(rows)


def test_a_secret_is_found_nowhere(
    worker: Worker,
    guarded_dataset: Dataset,
    home: Home,
    files: Path,
    owner: Principal,
    alice: User,
    bob: User,
    client_of: Callable[[User | None], Client],
    sent: list[Any],
    read_logs: Callable[[], str],
) -> None:
    api, page = Api(alice), client_of(alice)
    answers: list[Any] = [Api(bob).get("datasets/guarded/").data, api.get("datasets/").data]
    for word in (WORD, WRONG):
        body = {"credentials": {"word": word}}
        new = {"name": "another", "kind": "guarded", "options": {"place": str(files)}, **body}
        answers += [
            api.post("datasets/guarded/check/", body).data,
            api.patch("datasets/guarded/", body).data,
            api.post("datasets/check/", {key: new[key] for key in new if key != "name"}).data,
            api.post("datasets/", new).data,
            api.post("datasets/", {**new, "name": "No!"}).data,
            api.post("datasets/", {**new, "credentials": word}).data,
            api.patch("datasets/guarded/", {"credentials": {"word": [word]}}).data,
            api.patch("datasets/guarded/", {"credentials": {"word": word, "none": word}}).data,
        ]
    job = request_round(guarded_dataset, "svm", actor=owner)
    worker.run(job)
    job.refresh_from_db()
    assert job.state == "DONE", job.message
    failed = request_round(guarded_dataset, "", actor=owner)
    (files / ".word").write_text("changed meanwhile")
    worker.run(failed)
    failed.refresh_from_db()
    assert failed.state == "FAILED" and "not the word" in failed.message
    for address in ("dataset", "dataset-edit", "dataset-rounds"):
        answers.append(page.get(reverse(address, args=["guarded"])).content.decode())
    answers += [api.get("datasets/guarded/").data, api.get("datasets/guarded/rounds/").data, str(sent)]
    answers += [
        repr(guarded_dataset),
        repr(guarded_dataset.__dict__),
        repr(wiring.source_of(guarded_dataset)),
        repr(drafts.changed(guarded_dataset, None, {"word": WORD})),
    ]
    written = "\n".join(file.read_bytes().decode("utf-8", "replace") for file in home.root.rglob("*") if file.is_file())
    for secret in (WORD, WRONG):
        for number, where in enumerate((*map(str, answers), everything_stored(), read_logs(), written)):
            at = where.find(secret)
            assert at < 0, (number, where[max(0, at - 200) : at + 200])


def test_an_error_that_nobody_expected_shows_no_secret(
    guarded_dataset: Dataset,
    alice: User,
    client_of: Callable[[User | None], Client],
    settings: Settings,
    read_logs: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where somebody left Django's debug pages on."""
    settings.DEBUG = settings.DEBUG_PROPAGATE_EXCEPTIONS = False
    monkeypatch.setattr("tests.datasets.guarded.GuardedSource.check", lambda self: 1 / 0)
    settings.DEBUG = True
    client = client_of(alice)
    client.raise_request_exception = False
    sent = {"description": "x", "options.place": guarded_dataset.options["place"], "credentials.word": WORD}
    answer = client.post(reverse("dataset-edit", args=["guarded"]), sent)
    assert answer.status_code == 500 and "ZeroDivisionError" in answer.content.decode()
    assert WORD not in answer.content.decode() and WORD not in read_logs()
