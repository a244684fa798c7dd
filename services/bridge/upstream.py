"""The way to the backends: HTTP/1.1 over the gateway's egress socket, where the header `x-service` names the service.

Balancing, health checks, retries, draining and time limits are the gateway's. Nothing here is tried twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.bridge.errors import AWAY, LATE, BridgeError, Kind, from_backend
from services.bridge.http1.client import Connection, Lost
from services.schema import internal_headers

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 600.0
"""Well below the hour after which the gateway closes what is idle, perhaps in the moment in which it is used."""
CUT = "The service ended the connection before it had answered."
LARGEST_ERROR = 64 << 10


@dataclass(frozen=True)
class Call:
    """To which service, for which request, and until when."""

    service: str
    request_id: str = ""
    seconds: float | None = None
    """What is left of the caller's deadline; None: the gateway's limits alone."""

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        request_id = {internal_headers.REQUEST_ID: self.request_id} if self.request_id else {}
        return {internal_headers.SERVICE: self.service, **request_id, **more}


@dataclass(frozen=True)
class Answer:
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes


class Upstream:
    """Make it where the event loop runs; close it at the end. `largest`: bytes of the largest answer that is held."""

    def __init__(self, socket: Path, largest: int) -> None:
        self._socket, self._largest = str(socket), largest
        # With the time since when. The gateway bounds what is under way for each service.
        self._idle: list[tuple[float, Connection]] = []

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    async def get(self, call: Call, path: str) -> Answer:
        """Raises BridgeError, as all of these do."""
        return await self._whole(call, "GET", path, b"", {})

    async def post(self, call: Call, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return await self._whole(call, "POST", path, body, headers)

    @asynccontextmanager
    async def stream(self, call: Call, path: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer as it comes. Leaving the block before its end closes the connection: the backend then stops.

        What is not taken is not read, so a slow taker slows the backend down, and nobody else.
        """
        async with self._answered(call, "POST", path, body, {"content-type": "application/json"}) as connection:
            yield _pieces(connection)

    async def _whole(self, call: Call, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with self._answered(call, method, path, body, headers) as connection:
            content = await _up_to(self._largest, connection)
            if len(content) > self._largest:
                what = f"The service's answer is larger than {self._largest} bytes."
                raise BridgeError(Kind.BAD_ANSWER, what)
            return Answer(connection.headers, content)

    @asynccontextmanager
    async def _answered(
        self, call: Call, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[Connection]:
        """Until the block ends, also for what its body meets. A status over 399 is raised."""
        connection = None
        try:
            async with asyncio.timeout(call.seconds):
                connection = await self._connected()
                await connection.send(method, path, call.headers(headers), body)
                if connection.status >= 400:
                    error_body = await _up_to(LARGEST_ERROR, connection)
                    raise from_backend(connection.status, error_body, connection.headers.get("retry-after", ""))
                yield connection
        except TimeoutError:
            raise BridgeError(Kind.TIMEOUT, LATE) from None
        except Lost:
            log.warning("request %s for %s: the connection was lost", call.request_id, call.service)
            raise BridgeError(Kind.UNAVAILABLE, CUT) from None
        finally:
            if connection is not None:
                self._done_with(connection)

    async def _connected(self) -> Connection:
        while self._idle:
            since, connection = self._idle.pop()
            if not connection.lost and asyncio.get_running_loop().time() - since < IDLE_SECONDS:
                return connection
            connection.close()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, new_connection = await asyncio.get_running_loop().create_unix_connection(Connection, self._socket)
                return new_connection
        except (OSError, TimeoutError) as error:
            log.warning("the gateway's socket cannot be reached: %s", error or "it does not answer")
            raise BridgeError(Kind.UNAVAILABLE, AWAY) from None

    def _done_with(self, connection: Connection) -> None:
        if connection.reusable:
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            connection.close()


async def _pieces(connection: Connection) -> AsyncIterator[bytes]:
    while piece := await connection.read():
        yield piece


async def _up_to(most: int, connection: Connection) -> bytes:
    """The body, read to its end unless it is longer than that."""
    pieces, size = [], 0
    while size <= most and (piece := await connection.read()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
