"""Carries requests of the official Hugging Face client: small ones, each over a socket that net/sockets.py opened."""

from __future__ import annotations

import threading
from functools import cached_property
from http.client import HTTPException
from time import monotonic
from typing import Final

import httpx2
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as WireTimeout

from datasets.errors import SourceError
from datasets.sources.net.connections import CONNECT, pool_classes, tls_context
from datasets.sources.net.errors import broken
from datasets.sources.net.sockets import Network
from datasets.sources.net.url import Url

MAX_ANSWER: Final = 64 << 20
"""Bytes. What the Hub says of a repository names each of its files; 100,000 of them are some 10 MiB."""
STALL: Final = 30.0
"""Seconds without a byte."""
DEADLINE: Final = 120.0
"""Seconds for a whole answer."""
_UNSENT = {"host", "connection", "accept-encoding", "cookie", "content-length"}
_UNSEEN = {"set-cookie", "content-length", "transfer-encoding", "connection"}


class Wire:
    """Requests of one source. `Authorization` is sent to `home` only, wherever redirects lead. Thread-safe."""

    def __init__(self, network: Network, home: Url) -> None:
        self._network, self._home = network, home
        self._lock = threading.Lock()

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """Raises SourceError when there is no answer. Does not follow redirects."""
        url = self._network.require(str(request.url))
        at_home = url.origin == self._home.origin
        if not at_home and self._home.scheme == "https" and url.scheme == "http":
            raise SourceError(f"{self._home.authority} sends on to an address without TLS, {url.authority}.")
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in _UNSENT and (at_home or name != "authorization")
        }
        headers["accept-encoding"] = "identity"
        try:
            with self._lock:
                pool = self._pool
            answer = pool.urlopen(
                request.method,
                url.whole(),
                body=request.read() or None,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(connect=CONNECT, read=STALL),
            )
            content = _whole(answer, url)
        except HTTPError as error:
            raise broken(url, _cause(error)) from error
        except (OSError, HTTPException) as error:
            raise broken(url, error) from error
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SourceError(f"{url.authority} packs its answers although it was asked not to.")
        # No cookies: the official client would keep them, for the next source as well.
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _UNSEEN]
        return httpx2.Response(answer.status, headers=kept, content=content, request=request)

    @cached_property
    def _pool(self) -> PoolManager:
        # The context reads this machine's certificates, which takes 20 ms.
        context = tls_context() if self._home.scheme == "https" else None
        pool = PoolManager(num_pools=4, maxsize=4, ssl_context=context)
        pool.pool_classes_by_scheme = pool_classes(self._network)
        return pool


def _whole(answer: BaseHTTPResponse, url: Url) -> bytes:
    until = monotonic() + DEADLINE
    content = bytearray()
    while part := answer.read1(1 << 20):
        content += part
        if len(content) > MAX_ANSWER:
            answer.close()
            raise SourceError(f"{url.authority} answered with more than a listing can be.")
        if monotonic() > until:
            answer.close()
            raise TimeoutError
    answer.release_conn()
    return bytes(content)


def _cause(error: HTTPError) -> OSError | HTTPException:
    """What urllib3 wrapped."""
    if isinstance(error, WireTimeout):
        return TimeoutError()
    for seen in (*error.args, error.__cause__):
        if isinstance(seen, OSError | HTTPException):
            return seen
    return ConnectionError()
