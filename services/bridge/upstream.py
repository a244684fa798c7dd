"""The way to the backends: HTTP/1.1 over the gateway's egress socket, where the header `x-service` names the service.

Balancing, health checks, retries, draining and time limits are the gateway's. Nothing here is tried twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import aiohttp
from yarl import URL

from services.bridge.errors import AWAY, LATE, BridgeError, Kind, from_backend

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
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
        return {"x-service": self.service, **({"x-request-id": self.request_id} if self.request_id else {}), **more}


@dataclass(frozen=True)
class Answer:
    headers: Mapping[str, str]
    content: bytes


class Upstream:
    """Make it where the event loop runs; close it at the end. `largest`: bytes of the largest answer that is held."""

    def __init__(self, socket: Path, largest: int) -> None:
        self._largest = largest
        self._session = aiohttp.ClientSession(
            # The gateway bounds what is under way for each service. It keeps idle connections for an hour.
            connector=aiohttp.UnixConnector(str(socket), limit=0, keepalive_timeout=600),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )

    async def close(self) -> None:
        await self._session.close()

    async def get(self, call: Call, path: str) -> Answer:
        """Raises BridgeError, as all of these do."""
        async with self._answered(call, "GET", path, None, {}) as response:
            return Answer(response.headers, await self._whole(response))

    async def post(self, call: Call, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with self._answered(call, "POST", path, body, headers) as response:
            return Answer(response.headers, await self._whole(response))

    @asynccontextmanager
    async def stream(self, call: Call, path: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer as it comes. Leaving the block before its end closes the connection: the backend then stops.

        What is not taken is not read, so a slow taker slows the backend down, and nobody else.
        """
        async with self._answered(call, "POST", path, body, {"content-type": "application/json"}) as response:
            yield response.content.iter_any()

    @asynccontextmanager
    async def _answered(
        self, call: Call, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Until the block ends, also for what its body meets. A status over 399 is raised."""
        try:
            async with (
                asyncio.timeout(call.seconds),
                self._session.request(method, _url(path), data=body, headers=call.headers(headers)) as response,
            ):
                if response.status >= 400:
                    raise await _refusal(response)
                yield response
        except TimeoutError:
            raise BridgeError(Kind.TIMEOUT, LATE) from None
        except aiohttp.ClientConnectionError as error:
            log.warning("request %s for %s: %s", call.request_id, call.service, error)
            connected = not isinstance(error, aiohttp.ClientConnectorError)
            raise BridgeError(Kind.UNAVAILABLE, CUT if connected else AWAY) from None
        except aiohttp.ClientError as error:
            log.warning("request %s for %s: %s", call.request_id, call.service, error)
            raise BridgeError(Kind.UNAVAILABLE, CUT) from None

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        if (response.content_length or 0) > self._largest:
            raise self._too_large()
        if response.content_length is not None:
            return await response.read()
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._largest:
                raise self._too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self) -> BridgeError:
        return BridgeError(Kind.BAD_ANSWER, f"The service's answer is larger than {self._largest} bytes.")


@lru_cache(4096)
def _url(path: str) -> URL:
    return URL.build(scheme="http", host="gateway", path=path, encoded=True)


async def _refusal(response: aiohttp.ClientResponse) -> BridgeError:
    content = await response.content.read(LARGEST_ERROR)
    return from_backend(response.status, content, response.headers.get("retry-after", ""))
