"""HTTP/1.1 on a unix socket, as a server: whole requests in, whole answers out. Knows nothing of what is asked.

httptools reads what comes. Only the gateway's Envoy can open the socket. A request whose connection ends is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast

import httptools

REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """As it was sent, with its query."""
    headers: Mapping[str, str]
    """Names in lower case. Of a header that comes twice the last one."""
    body: bytes | None
    """None when it is larger than the server takes."""


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[Request], Awaitable[Response]]
"""Must not raise."""


class Server:
    """`largest_body`: bytes of one request."""

    def __init__(self, answering: Answering, largest_body: int) -> None:
        self.answering, self.largest_body = answering, largest_body
        self.connections: set[Connection] = set()
        self._listening: asyncio.AbstractServer | None = None

    async def start(self, path: Path) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_unix_server(lambda: Connection(self), str(path), backlog=1024)

    async def stop(self, seconds: float) -> None:
        """Takes no more; what is under way may take so long."""
        if self._listening:
            self._listening.close()
        for connection in list(self.connections):
            connection.end_when_idle()
        under_way = [connection.task for connection in self.connections if connection.task]
        if under_way:
            await asyncio.wait(under_way, timeout=seconds)
        for connection in list(self.connections):
            connection.close()


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        """Whole requests, and whether the connection stays after them. Envoy never sends a second before its answer."""
        self.task: asyncio.Task[None] | None = None
        self._ending = False
        self._new()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def end_when_idle(self) -> None:
        self._ending = True
        if self.task is None:
            self.close()

    def _new(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def _next(self) -> None:
        if self.task is None and self._waiting:
            self.task = self._loop.create_task(self._answer(*self._waiting.popleft()))

    async def _answer(self, request: Request, stays: bool) -> None:
        try:
            response = await self._server.answering(request)
        finally:
            self.task = None
        self._write(response, stays and not self._ending)
        self._next()

    def _write(self, response: Response, stays: bool) -> None:
        if not self._transport or self._transport.is_closing():
            return
        lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, '')}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines.append(f"content-length: {len(response.body)}")
        if not stays:
            lines.append("connection: close")
        self._transport.write("\r\n".join((*lines, "", "")).encode("latin-1") + response.body)
        if not stays:
            self._transport.close()

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._server.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._waiting.clear()
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._write(Response(400), stays=False)
            return
        self._next()

    # httptools calls these.

    def on_url(self, piece: bytes) -> None:
        self._url += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._server.largest_body:
            self._parts.clear()
        else:
            self._parts.append(piece)

    def on_message_complete(self) -> None:
        body = b"".join(self._parts) if self._size <= self._server.largest_body else None
        method = self._parser.get_method().decode("latin-1")
        request = Request(method, self._url.decode("latin-1"), self._headers, body)
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._new()
