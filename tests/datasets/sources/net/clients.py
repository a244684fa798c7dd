"""What the tests of requests share: a quick client, and servers that lead elsewhere or give parts."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from datasets.errors import SourceError
from datasets.sources.net.client import Web
from datasets.sources.net.sockets import Network
from tests.datasets.sources.wire import Answer, Wire, always, reply, serving

CONTENT = bytes(range(256)) * 64
SECRET = {"Authorization": "Bearer hidden"}


def web(*endpoints: str, stall: float = 5.0, window: float = 5.0, least: int = 64 << 10) -> Web:
    return Web(Network(endpoints or ("127.0.0.1",)), connect=2.0, stall=stall, window=window, least=least)


@contextmanager
def talking(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[tuple[Wire, Web]]:
    """A server that answers so, and a client of it."""
    with serving(answer, tls) as wire:
        client = web()
        yield wire, client
        client.close()


def failing(answer: Answer, stall: float = 5.0, window: float = 5.0) -> SourceError:
    """What reading the whole of /file?signature=hidden with credentials says, which never shows a secret."""
    with serving(answer) as wire:
        client = web(stall=stall, window=window)
        with pytest.raises(SourceError) as caught:
            client.open(wire.url("/file?signature=hidden"), credentials=SECRET).body.readall()
        client.close()
    assert "hidden" not in str(caught.value)
    return caught.value


def part(answer: Answer, offset: int = 0, length: int | None = None, version: str = "") -> bytes:
    """A part of a file of 16 KiB."""
    with talking(answer) as (wire, client):
        return client.part(wire.url(), "file", len(CONTENT), offset=offset, length=length, version=version).readall()


def ranged(content_range: str, body: bytes, *headers: str) -> Answer:
    return always(reply(body, f"Content-Range: {content_range}", *headers, status="206 Partial Content"))


def leading(to: Callable[[Wire], str] | str, status: int = 302) -> Answer:
    """Leads /file to `to` and answers everything else."""

    def answer(head: str, connection: socket.socket) -> bool:
        if head.startswith(("GET /file ", "GET /file?")):
            connection.sendall(reply(b"", f"Location: {to}", status=f"{status} Found"))
        else:
            connection.sendall(reply(CONTENT))
        return True

    return answer
