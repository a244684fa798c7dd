"""A body that is too large ends in 413 before anything keeps it, whether it says its length or not."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Any

import pytest
from django.conf import settings

from console import asgi
from console.web import rest
from console.web.body_limit import TOO_LARGE, BodyLimit, Message, Receive, Send

MOST = 100


async def reader(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """An application like Django: reads everything, gives up silently when the client goes, answers the length."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % length})


def ask(parts: list[bytes], *headers: tuple[bytes, bytes]) -> tuple[int, bytes, int]:
    """(status, body, parts that were taken)."""
    incoming = [{"type": "http.request", "body": part, "more_body": i < len(parts) - 1} for i, part in enumerate(parts)]
    sent: list[Message] = []
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return incoming[taken - 1]

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": list(headers)}
    asyncio.run(BodyLimit(reader, MOST)(scope, receive, send))
    return int(sent[0]["status"]), bytes(sent[1]["body"]), taken


def test_a_body_of_the_limit_passes() -> None:
    assert ask([b"a" * 60, b"b" * 40]) == (200, b"100", 2)
    assert ask([b"a" * 100], (b"content-length", b"100")) == (200, b"100", 1)


def test_a_larger_body_is_refused_by_its_length_unread() -> None:
    assert ask([b"a" * 101], (b"content-length", b"101")) == (413, TOO_LARGE, 0)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"7")], [(b"content-length", b"x")]])
def test_a_larger_body_is_read_no_further_than_the_limit(headers: list[tuple[bytes, bytes]]) -> None:
    assert ask([b"a" * 60] * 1000, *headers) == (413, TOO_LARGE, 2)


def test_the_console_is_served_behind_the_limit() -> None:
    assert isinstance(asgi.application, BodyLimit)
    assert asgi.application.most == settings.LARGEST_REQUEST > settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def test_a_body_of_millions_of_lists_is_refused_before_they_are_made() -> None:
    with pytest.raises(rest.TooLarge, match="lists and objects"):
        rest.LargeJson().parse(io.BytesIO(b"[" + b"[]," * rest.MOST_CONTAINERS + b"[]]"))
    assert rest.LargeJson().parse(io.BytesIO(b'{"a": [[1], [2]]}')) == {"a": [[1], [2]]}
