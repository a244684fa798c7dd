"""Connections of the web process to the database: none stays behind a request."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection

from console.asgi import application
from console.models import Team

REQUESTS = 40


async def ask(path: str) -> int:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    started = await communicator.receive_output(30)
    while (await communicator.receive_output(30)).get("more_body"):
        pass
    await communicator.wait(30)
    return int(started["status"])


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only a server counts connections")
@pytest.mark.django_db(transaction=True)
def test_no_request_leaves_its_connection_behind() -> None:
    Team.objects.count()  # this thread's own

    async def all_of_them() -> list[int]:
        return [await ask("/api/v1/services/") for _ in range(REQUESTS)]

    def connections() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int(cursor.fetchone()[0])

    before = connections()
    assert asyncio.run(all_of_them()) == [401] * REQUESTS
    assert connections() == before
