"""HTTP connections whose sockets sockets.py opens: for `Web`, and for libraries that take urllib3's pools.

Nothing here reads HTTP_PROXY and its like: a proxy would connect where nobody looked.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from typing import Any, ClassVar, TypeVar

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from datasets.sources.net.slow_server import Pace, PacedSocket, PacedTls, paced
from datasets.sources.net.sockets import Network
from datasets.sources.net.url import Url

CONNECT: float = 10.0
"""Seconds until a connection stands, with TLS."""


class Guarded(HTTPConnection):
    """Put before a connection class of urllib3, or of a library that derived from one. Raises SourceError."""

    network: ClassVar[Network]

    def _new_conn(self) -> socket.socket:
        timeout = self.timeout
        return self.network.connect(self._dns_host, self.port, timeout if isinstance(timeout, int | float) else CONNECT)


def pool_classes(
    network: Network,
    http: type[HTTPConnectionPool] = HTTPConnectionPool,
    https: type[HTTPSConnectionPool] = HTTPSConnectionPool,
) -> dict[str, type[HTTPConnectionPool]]:
    """For `PoolManager.pool_classes_by_scheme`: the pools, with connections that only go where `network` allows."""
    return {scheme: _guarded_pool(network, pool) for scheme, pool in (("http", http), ("https", https))}


Pool = TypeVar("Pool", bound=HTTPConnectionPool)


def _guarded_pool(network: Network, pool: type[Pool]) -> type[Pool]:
    connection = type("GuardedConnection", (Guarded, pool.ConnectionCls), {"network": network})
    return type("GuardedPool", (pool,), {"ConnectionCls": connection})


def tls_context() -> ssl.SSLContext:
    """The certificates that this machine trusts. SSL_CERT_FILE and SSL_CERT_DIR name others, as for every OpenSSL."""
    context = create_urllib3_context()
    context.load_default_certs()
    context.sslsocket_class = PacedTls
    return context


class Idle:
    """Connections to several servers, reused last in first out. Serves many threads."""

    def __init__(self, network: Network, pace: tuple[float, int], keep: int) -> None:
        self._tls: ssl.SSLContext | None = None
        self._pace, self._keep = pace, keep
        self._idle: dict[tuple[str, str, int], deque[HTTPConnection]] = {}
        self._classes = {
            "http": type("Plain", (_Paced, HTTPConnection), {"network": network}),
            "https": type("Secure", (_Paced, HTTPSConnection), {"network": network}),
        }

    def take(self, url: Url) -> HTTPConnection | None:
        """An idle connection that the server has not closed, as far as can be seen."""
        waiting = self._idle.get(url.origin)
        while waiting:
            try:
                connection = waiting.pop()
            except IndexError:  # another thread was quicker
                return None
            if connection.is_connected:
                return connection
            connection.close()
        return None

    def new(self, url: Url, timeout: float) -> HTTPConnection:
        """A new connection that stands. Raises SourceError, OSError for TLS."""
        extra: dict[str, Any] = {}
        if url.scheme == "https":
            # Made on first use: reading the certificates takes 20 ms.
            self._tls = self._tls or tls_context()
            extra = {"ssl_context": self._tls}
        connection: HTTPConnection = self._classes[url.scheme](url.host, url.port, timeout=timeout, **extra)
        try:
            connection.connect()
            paced(connection.sock).pace = Pace(*self._pace)
        except BaseException:
            connection.close()
            raise
        return connection

    def give_back(self, url: Url, connection: HTTPConnection) -> None:
        waiting = self._idle.setdefault(url.origin, deque())
        if len(waiting) < self._keep:
            waiting.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        for waiting in list(self._idle.values()):
            while waiting:
                waiting.pop().close()


class _Paced(Guarded):
    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        timeout = opened.gettimeout()
        paced_socket = PacedSocket(opened.family, opened.type, opened.proto, fileno=opened.detach())
        paced_socket.settimeout(timeout)
        return paced_socket
