"""Requests over HTTP/1.1 to servers that an administrator allowed, fast enough for many small files and for huge ones.

urllib3's connections connect and do TLS, response.py sends and reads. The standard library's request and response cost
100 µs more each, urllib3's another 150 µs, and they copy. Redirects are followed here, each one checked as the first
address was. Nothing is retried, but for a reused connection that the server had closed meanwhile.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPMessage
from time import monotonic
from typing import Final

from urllib3.connection import HTTPConnection
from urllib3.util.wait import wait_for_read

from datasets.errors import SourceChanged, SourceError
from datasets.sources.net import response as heads
from datasets.sources.net.body import HttpBody
from datasets.sources.net.connections import CONNECT, Idle
from datasets.sources.net.errors import explained, refusal
from datasets.sources.net.slow_server import paced
from datasets.sources.net.sockets import Network
from datasets.sources.net.url import Url

MAX_REDIRECTS: Final = 5
MAX_HEAD: Final = 256 << 10
"""Bytes of status and headers of one answer."""
LATE: Final = 1.0
"""Seconds for the beginning of an answer that was asked for so long ago that it should be there."""
AGAIN: Final = 60.0
"""Seconds for which a request may be sent again as it is."""
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_DRAINED: Final = 64 << 10
"""Bytes of an unwanted body that are read to keep its connection."""
_STALE = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Answer:
    """The answer to a request, after redirects. Close `body`, or read it to its end."""

    status: int
    headers: HTTPMessage
    """Names are case-insensitive."""
    body: HttpBody
    url: Url
    """The address that answered, after redirects."""

    @property
    def size(self) -> int | None:
        """Content-Length in bytes, if there is one."""
        length = self.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() and length.isascii() else None


class Web:
    """Serves many threads at once, with a connection for each request; `keep` idle ones stay open to each server.

    Raises SourceError, not permanent where trying again may help: connecting takes longer than `connect` seconds; no
    byte comes for `stall` seconds; fewer than `least` bytes come in `window` seconds of waiting.
    """

    def __init__(
        self,
        network: Network,
        *,
        connect: float = CONNECT,
        stall: float = 30.0,
        window: float = 30.0,
        least: int = 64 << 10,
        keep: int = 32,
    ) -> None:
        self.network = network
        self._connect, self._stall = connect, stall
        self._idle = Idle(network, (window, least), keep)
        self._waiting: set[socket.socket] = set()
        """Sockets on which a thread waits for an answer to begin."""
        self._aborted = 0

    def open(
        self,
        url: Url | str,
        headers: Mapping[str, str] | None = None,
        *,
        credentials: Mapping[str, str] | None = None,
        method: str = "GET",
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """The answer of a success. `credentials` are headers too, but not sent on to another server by a redirect.

        Raises SourceError for every other status that is not in `accept`.
        """
        here = self.network.require(url) if isinstance(url, str) else url
        start = here.origin
        for _ in range(MAX_REDIRECTS + 1):
            sent = {**(headers or {}), **((credentials or {}) if here.origin == start else {})}
            answer = self.ask(here, sent, method=method)
            if answer.status not in _REDIRECTS:
                break
            _drain(answer)
            here = self._next(here, answer.headers.get("Location", ""))
            if here.origin != start:
                start = ("", "", 0)  # not even when a later redirect leads back
        else:
            raise SourceError(f"{here.authority} sends from one address to the next without end.")
        if not 200 <= answer.status < 300 and answer.status not in accept:
            _drain(answer)
            if answer.status in {412, 416}:
                raise SourceChanged(here.path)
            raise refusal(here, answer.status, answer.headers)
        _require_plain(answer)
        return answer

    def part(
        self,
        url: Url | str,
        name: str,
        size: int,
        *,
        offset: int = 0,
        length: int | None = None,
        version: str = "",
        headers: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> HttpBody:
        """`length` bytes from `offset` on, or all that is left, of a file of `size` bytes whose `version` is pinned.

        `version` is a strong ETag with its quotes, a Last-Modified, or "". Raises SourceChanged with `name` for another
        one, or for another size, here or at the end of the body.
        """
        count = size - offset if length is None else length
        request_headers = {**(headers or {})}
        partial_ = offset > 0 or count < size
        if partial_:
            request_headers["Range"] = f"bytes={offset}-{offset + count - 1}"
        if version:
            request_headers["If-Match" if version.startswith('"') else "If-Unmodified-Since"] = version
        try:
            answer = self.open(url, request_headers, credentials=credentials)
        except SourceChanged as error:
            raise SourceChanged(name) from error
        try:
            _require_version(answer, name, version)
            if partial_:
                _require_range(answer, name, offset, count, size)
            elif answer.status != 200:
                raise SourceError(f"{answer.url.authority} answered {answer.status} instead of {name}.")
            if answer.size not in {None, count}:
                raise SourceChanged(name)
        except BaseException:
            answer.body.close()
            raise
        answer.body.must_be(count, name)
        return answer.body

    def read(
        self,
        url: Url | str,
        limit: int,
        what: str,
        *,
        credentials: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[bytes, Answer]:
        """All of something small. Raises SourceError when `what` is longer than `limit` bytes."""
        answer = self.open(url, headers, credentials=credentials)
        content = bytearray()
        with answer.body as body:
            while part := body.read(min(256 << 10, limit + 1 - len(content))):
                content += part
                if len(content) > limit:
                    raise SourceError(f"{what} is longer than {limit} bytes.")
        return bytes(content), answer

    def ask(self, url: Url, headers: Mapping[str, str], *, method: str = "GET") -> Answer:
        """One exchange as it is: no redirect is followed, no status is an error, any Content-Encoding will do."""
        return self.begin(url, headers, method=method).answer()

    def begin(self, url: Url, headers: Mapping[str, str], *, method: str = "GET") -> PendingRequest:
        """Send the request without waiting: the first half of `ask`."""
        return PendingRequest(self, url, headers, method)

    def close(self) -> None:
        """Closes the idle connections. Bodies being read go on."""
        self._idle.close()

    def abort(self) -> None:
        """End every wait for an answer, from another thread: waiting calls raise SourceError. Later requests work."""
        self._aborted += 1
        for wire in list(self._waiting):
            with suppress(OSError):
                socket.socket.shutdown(wire, socket.SHUT_RDWR)  # of the plain socket also under TLS, see body.py

    def _next(self, here: Url, location: str) -> Url:
        if not location:
            raise SourceError(f"{here.authority} sends to another address without saying which.")
        target = here.joined(location)
        if here.scheme == "https" and target.scheme == "http":
            raise SourceError(f"{here.authority} sends on to an address without TLS, {target.authority}.")
        self.network.require_host(target.host, target.port)
        return target

    def _send(self, connection: HTTPConnection, url: Url, headers: Mapping[str, str], method: str) -> None:
        wire = paced(connection.sock)
        try:
            wire.settimeout(self._stall)
            wire.pace.begin(MAX_HEAD)
            heads.send(
                wire,
                method,
                url.target,
                {
                    "Host": url.authority,
                    "Accept-Encoding": "identity",
                    "User-Agent": "inference-console",
                    **headers,
                },
            )
        except BaseException:
            connection.close()
            raise

    def _receive(self, connection: HTTPConnection, url: Url, method: str, begun: int, waited: float) -> Answer:
        """`begun`: number of aborts when the request began, so that a later one is noticed.

        `waited`: seconds since it was sent. The server had them to begin its answer.
        """
        wire = paced(connection.sock)
        try:
            self._waiting.add(wire)
            if self._aborted != begun:
                raise ConnectionAbortedError
            if waited > LATE and not wait_for_read(wire, max(self._stall - waited, LATE)):
                raise TimeoutError
            response = heads.receive(wire, method)
            wire.pace.begin()
        except BaseException:
            connection.close()
            raise
        finally:
            self._waiting.discard(wire)
        done = partial(self._done, url, connection, response.will_close)
        return Answer(response.status, response.headers, HttpBody(response, wire, url, done), url)

    def _done(self, url: Url, connection: HTTPConnection, will_close: bool, reusable: bool) -> None:
        if reusable and not will_close and connection.sock is not None:
            self._idle.give_back(url, connection)
        else:
            connection.close()


class PendingRequest:
    """A request in flight. Its owner calls `answer` or `close`, once. `__init__` and `answer` raise SourceError."""

    def __init__(self, web: Web, url: Url, headers: Mapping[str, str], method: str) -> None:
        self._web, self._url, self._headers, self._method = web, url, headers, method
        self._begun = web._aborted
        with explained(url):
            self._connection, self._reused = self._sent()

    def answer(self) -> Answer:
        web = self._web
        with explained(self._url):
            while True:
                try:
                    waited = monotonic() - self._at
                    return web._receive(self._connection, self._url, self._method, self._begun, waited)
                except _STALE:  # closed by the server between our look and our request
                    # What is older may be signed with a time that no longer holds: who asks anew signs anew.
                    if not self._reused or web._aborted != self._begun or waited > AGAIN:
                        raise
                self._connection, self._reused = self._sent()

    def close(self) -> None:
        """Abandons the request."""
        self._connection.close()

    def _sent(self) -> tuple[HTTPConnection, bool]:
        """Send the request. Returns its connection, and whether that was reused."""
        web, sent = self._web, (self._url, self._headers, self._method)
        while (connection := web._idle.take(self._url)) is not None:
            try:
                web._send(connection, *sent)
            except _STALE:
                if web._aborted != self._begun:
                    raise
            else:
                self._at = monotonic()
                return connection, True
        connection = web._idle.new(self._url, web._connect)
        web._send(connection, *sent)
        self._at = monotonic()
        return connection, False


def _drain(answer: Answer) -> None:
    """Drains a short unwanted body, so that its connection can be reused; closes a longer one."""
    with answer.body as body:
        if answer.size is not None and answer.size <= _DRAINED:
            body.readall()


def _require_plain(answer: Answer) -> None:
    """Refuse content and transfer codings: length and checksum would not be those of the file."""
    packed = answer.headers.get("Content-Encoding", "").strip().lower()
    wrapped = answer.headers.get("Transfer-Encoding", "").strip().lower()
    if packed not in {"", "identity"} or wrapped not in {"", "chunked"}:
        answer.body.close()
        raise SourceError(
            f"{answer.url.authority} packs {answer.url.path} on the way although it was asked not to.",
            hint="Switch Content-Encoding off for model files at the server.",
        )
    if answer.size is None and "Content-Length" in answer.headers:
        answer.body.close()
        raise SourceError(f"{answer.url.authority} announces a length that is none.", permanent=False)


def _require_version(answer: Answer, name: str, version: str) -> None:
    if version:
        now = answer.headers.get("ETag" if version.startswith('"') else "Last-Modified")
        if now != version:
            raise SourceChanged(name)


def _require_range(answer: Answer, name: str, offset: int, count: int, size: int) -> None:
    host = answer.url.authority
    if answer.status != 206:
        raise SourceError(f"{host} no longer gives parts of files: it answered {answer.status}.", permanent=False)
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None:
        raise SourceError(f"{host} does not say which part of {name} it sends.", permanent=False)
    if match[3] not in {"*", str(size)}:
        raise SourceChanged(name)
    if (int(match[1]), int(match[2])) != (offset, offset + count - 1):
        raise SourceError(f"{host} sends another part of {name} than it was asked for.", permanent=False)
