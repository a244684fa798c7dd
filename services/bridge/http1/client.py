"""HTTP/1.1 over a unix socket, as a client: one request at a time on a connection. Knows nothing of what is asked.

httptools reads what comes. The other side is the gateway's Envoy and nobody else, which frames every answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import httptools

WINDOW = 256 << 10
"""Bytes that are read ahead of whoever takes them; then the other side waits."""


class Lost(Exception):
    """The connection ended before the answer had, or what came is no HTTP."""


class Connection(asyncio.Protocol):
    """`send`, then `read` until it gives b"". Then, if `reusable`, once more; else `close`."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """Names in lower case. Of a header that comes twice the last one."""
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._headed = self._ended = self._stays = self._paused = False
        self._begin()

    @property
    def reusable(self) -> bool:
        return self._ended and self._stays and not self.lost

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Returns when the answer's headers are there. Raises Lost."""
        self._begin()
        lines = [f"{method} {path} HTTP/1.1", "host: gateway", *(f"{name}: {value}" for name, value in headers.items())]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1:
            raise ValueError("A header holds a line break.")
        if self._transport is None or self.lost:
            raise Lost
        self._transport.write(b"".join((head.encode("latin-1"), b"\r\n\r\n", body)))
        while not self._headed:
            await self._more()

    async def read(self) -> bytes:
        """What has come of the body, b"" at its end. Raises Lost."""
        while not self._parts and not self._ended:
            await self._more()
        taken = b"".join(self._parts)
        self._parts = []
        self._held = 0
        if self._paused and self._transport:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def close(self) -> None:
        """At once: what the other side is still doing for this connection, it gives up."""
        self.lost = True
        if self._transport:
            self._transport.abort()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parts = []
        self._held = 0
        self._headed = self._ended = self._stays = self._paused = False

    async def _more(self) -> None:
        if self.lost:
            raise Lost
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        self._wake()

    # httptools calls these.

    def on_message_begin(self) -> None:
        if self._ended:  # an answer that nobody asked for
            self.close()
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200

    def on_body(self, piece: bytes) -> None:
        self._parts.append(piece)
        self._held += len(piece)
        if self._held > WINDOW and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        self._ended = self._headed
        self._stays = bool(self._parser.should_keep_alive())  # afterwards the parser no longer knows
