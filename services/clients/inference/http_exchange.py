"""One POST to the gateway, timed step by step, for the clients that show what they send. Plain http.client: other
libraries hide when they connect and what exactly they send."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.client import responses as phrases
from typing import Any, Final

from console.errors import Unavailable
from services.clients.inference.call import Answer, Message, Output, Response, Timing
from services.clients.inference.caller import CONNECT_SECONDS, Caller, without_key
from services.clients.inference.wire import cut

HELD_BYTES: Final = 64 << 20
"""Bytes of an answer that are kept; the rest is only counted."""
CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """At most HELD_BYTES of it."""
    size: int
    """Bytes of the whole body."""

    @property
    def status_line(self) -> str:
        return f"{self.status} {phrases.get(self.status, '')}".strip()


@dataclass(frozen=True)
class Exchange:
    """`reply` is None when there was none, and `trouble` says why. Times in milliseconds."""

    reply: Reply | None
    trouble: str
    connect_ms: float
    wait_ms: float


def post(caller: Caller, request: Request) -> Exchange:
    """Raises Unavailable when nothing listens there."""
    begun = time.perf_counter()
    connection = _connect(caller)
    connected = time.perf_counter()
    try:
        reply, trouble = _exchange(connection, request, caller)
    finally:
        connection.close()
    return Exchange(reply, trouble, 1000 * (connected - begun), 1000 * (time.perf_counter() - connected))


def infer(
    caller: Caller,
    build: Callable[[], Request],
    read: Callable[[Reply], tuple[Output, ...]],
    what: str,
    show: Callable[[bytes, int, Mapping[str, str]], str],
) -> Answer:
    """Raises Unavailable when nothing listens there. Anything that answers, however badly, gives an Answer.

    `what`: the reply should be. `show`: a body, from its bytes, its whole size and its headers.
    """
    begun = time.perf_counter()
    request = build()
    built = time.perf_counter()
    exchange = post(caller, request)
    answered = time.perf_counter()
    responses: tuple[Response, ...] = ()
    if (reply := exchange.reply) is None:
        status, error, received = "no answer", exchange.trouble, Message("", {}, "", 0)
    else:
        status, error = reply.status_line, _refusal(reply)
        try:
            responses = () if error else (Response(read(reply), exchange.wait_ms),)
        except (ValueError, LookupError, TypeError, AttributeError):
            error = f"The answer is not {what}."
        received = Message(f"HTTP/1.1 {status}", reply.headers, show(reply.body, reply.size, reply.headers), reply.size)
    decode_ms = 1000 * (time.perf_counter() - answered)
    sent = Message(
        f"POST {request.path} HTTP/1.1",
        without_key(request.headers, caller.key),
        show(request.body, len(request.body), request.headers),
        len(request.body),
    )
    timing = Timing(1000 * (built - begun), exchange.connect_ms, exchange.wait_ms, decode_ms)
    return Answer(not error, status, error, responses, timing, sent, received)


def _refusal(reply: Reply) -> str:
    """Why nothing of it is read; "" when something is."""
    if reply.status != 200:
        return error_of(reply.body, reply.status)
    too_long = f"The answer has {reply.size:,} bytes: too many to be read here."
    return too_long if reply.size > len(reply.body) else ""


def headers_of(caller: Caller, content_type: str, body: bytes) -> dict[str, str]:
    return {
        "host": caller.address,
        "accept": "*/*",
        "accept-encoding": "identity",
        **caller.headers(),
        "content-type": content_type,
        "content-length": str(len(body)),
    }


def error_of(body: bytes, status: int) -> str:
    """What an error says in words: `{"error": "..."}`, `{"error": {"message": "..."}}`, or whatever came instead."""
    try:
        message: Any = json.loads(body)["error"]
        message = message["message"] if isinstance(message, Mapping) else message
    except (ValueError, LookupError, TypeError):
        message = ""
    text = cut(body.decode("utf-8", "replace"))
    return str(message) or text or f"The answer was {status} without a reason."


def _connect(caller: Caller) -> HTTPConnection:
    connection = HTTPConnection(caller.host, caller.port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unavailable(f"The gateway does not answer at {caller.address}: {reason}.") from error
    connection.sock.settimeout(caller.timeout)
    return connection


def _exchange(connection: HTTPConnection, request: Request, caller: Caller) -> tuple[Reply | None, str]:
    try:
        # A body that is too large is refused while it is still being sent: the answer is there already.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", request.path, body=request.body, headers=dict(request.headers))
        response = connection.getresponse()
        body, size = _read(response)
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, body, size), ""
    except TimeoutError:
        return None, f"There was no answer within {caller.timeout:g} s."
    except (OSError, HTTPException) as error:
        return None, f"The connection ended before an answer came ({type(error).__name__})."


def _read(response: HTTPResponse) -> tuple[bytes, int]:
    body = response.read(HELD_BYTES)
    size = len(body)
    while chunk := response.read(CHUNK):
        size += len(chunk)
    return body, size
