from __future__ import annotations

import errno
import os
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client

from console import room
from console.errors import NoRoom, Unavailable
from console.web import trouble

FULL = room.Room(Path("/srv/home"), 0, 1 << 30, errno.ENOSPC)
SENTENCE = "The disk of local is full: 0 MiB of 1.0 GiB are free."


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "measure", lambda _: FULL)


def sqlite(text: str) -> Exception:
    return raised(OperationalError(text), sqlite3.OperationalError(text))


def postgres(kind: type[psycopg.Error], text: str = "it failed") -> Exception:
    return raised(OperationalError(text), kind(text))


def raised(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_eagain_is_a_shortage_only_where_a_process_or_a_thread_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def error(work: Callable[[], object]) -> BaseException:
        with pytest.raises((OSError, RuntimeError)) as caught:
            work()
        return caught.value

    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        assert trouble.explain(error(lambda: reader.recv(1))) is None
    monkeypatch.setattr(subprocess, "_fork_exec", refuse)
    monkeypatch.setattr(subprocess, "_USE_POSIX_SPAWN", False)
    assert isinstance(trouble.explain(error(lambda: subprocess.run(["/bin/true"], check=True))), Unavailable)
    monkeypatch.setattr(threading, "_start_joinable_thread", no_thread, raising=False)
    monkeypatch.setattr(threading, "_start_new_thread", no_thread, raising=False)
    assert isinstance(trouble.explain(error(threading.Thread(target=print).start)), Unavailable)


def no_thread(*_: object, **__: object) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_an_error_of_the_disk_is_explained_by_what_the_disk_is_like(full_disk: None, code: int) -> None:
    explanation = trouble.explain(OSError(code, os.strerror(code)))
    assert isinstance(explanation, NoRoom)
    assert explanation.message == SENTENCE


def test_a_disk_that_is_well_again_is_not_called_full() -> None:
    explanation = trouble.explain(OSError(errno.ENOSPC, "No space left on device"))
    assert explanation
    assert explanation.message == "The disk of local could not be written: No space left on device."


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (sqlite("database or disk is full"), NoRoom, SENTENCE),
        (sqlite("disk I/O error"), NoRoom, SENTENCE),
        (sqlite("attempt to write a readonly database"), NoRoom, SENTENCE),
        (sqlite("unable to open database file"), NoRoom, SENTENCE),
        (sqlite("database is locked"), Unavailable, "The database is busy."),
        (postgres(psycopg.errors.LockNotAvailable), Unavailable, "The database is busy."),
        (postgres(psycopg.errors.DiskFull), NoRoom, "The disk of the database is full."),
        (postgres(psycopg.OperationalError), Unavailable, "The database does not answer."),
        (postgres(psycopg.errors.AdminShutdown), Unavailable, "The database does not answer."),
        (postgres(psycopg.errors.TooManyConnections), Unavailable, "The database does not answer."),
        (OSError(errno.EMFILE, "Too many files"), Unavailable, "local is short of resources: Too many files."),
    ],
)
def test_each_trouble_has_its_sentence(full_disk: None, error: Exception, kind: type, message: str) -> None:
    explanation = trouble.explain(error)
    assert type(explanation) is kind
    assert explanation
    assert explanation.message == message


@pytest.mark.parametrize(
    "error",
    [
        sqlite("Expression tree is too large (maximum depth 1000)"),
        sqlite("no such table: services"),
        raised(ProgrammingError("no such column"), psycopg.errors.UndefinedColumn("no such column")),
        OSError(errno.ENOENT, "No such file or directory"),
        ValueError("no"),
    ],
)
def test_a_mistake_of_the_console_is_no_trouble(error: Exception) -> None:
    assert trouble.explain(error) is None


def test_the_cause_counts_however_it_was_wrapped() -> None:
    assert trouble.explain(raised(ValueError("x"), OSError(errno.ENOSPC, "No space left on device")))


@pytest.mark.parametrize("path", ["/", "/services/", "/datasets/", "/keys/", "/api/v1/services/", "/api/v1/keys/"])
def test_pages_and_api_answer_with_the_sentence(
    full_disk: None, client: Client, alice: User, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(alice)
    client.raise_request_exception = False

    def fail(*_: Any) -> None:
        raise sqlite("database or disk is full")

    def after_sign_in(execute: Any, sql: str, *rest: Any) -> Any:
        return fail() if "services_" in sql or "datasets_" in sql else execute(sql, *rest)

    with connection.execute_wrapper(after_sign_in):
        answer = client.get(path)
    assert answer.status_code == 507
    assert SENTENCE in answer.content.decode()
    if path.startswith("/api"):
        assert answer.json()["type"] == "urn:inference-console:insufficient_storage"


def test_a_session_that_cannot_be_saved_is_told_too(full_disk: None, client: Client, alice: User) -> None:
    client.raise_request_exception = False

    def fail_to_write(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE")):
            raise sqlite("database or disk is full")
        return execute(sql, *rest)

    with connection.execute_wrapper(fail_to_write):
        answer = client.post("/login/", {"username": "alice", "password": "alice"})
    assert answer.status_code == 507
    assert SENTENCE in answer.content.decode()
