"""One V2 REST inference, timed step by step. tritonclient reads the answer; the connection is plain http.client,
since tritonclient's own hides when it connects and what exactly it sends."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.client import responses as phrases
from typing import Any
from urllib.parse import quote

from tritonclient.http import InferResult

from console.errors import Unavailable
from services.clients import inference_wire as wire
from services.clients.inference import Answer, Call, Message, Response, Timing

CONNECT_SECONDS = 5.0
HEADER_LENGTH = "Inference-Header-Content-Length"
SERVER_TIME = "x-envoy-upstream-service-time"


@dataclass(frozen=True)
class _Request:
    path: str
    headers: Mapping[str, str]
    body: bytes
    header_length: int | None
    """Of the binary extension: how much of the body is JSON."""


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


def infer(call: Call) -> Answer:
    """Raises Unavailable when nothing listens there. Anything that answers, however badly, gives an Answer."""
    begun = time.perf_counter()
    request = _build(call)
    built = time.perf_counter()
    connection = _connect(call)
    connected = time.perf_counter()
    try:
        reply, trouble = _exchange(connection, request, call)
    finally:
        connection.close()
    answered = time.perf_counter()
    return _answer(request, reply, trouble, (begun, built, connected, answered))


def _build(call: Call) -> _Request:
    headers = {"Host": call.address, "Accept": "*/*", "Accept-Encoding": "identity"}
    if call.key:
        headers["Authorization"] = f"Bearer {call.key}"
    path = f"/v2/models/{quote(call.model, safe='')}/infer"
    if not call.binary and all(wire.fits_json(item) for item in call.inputs):
        body = json.dumps(wire.json_request(call.inputs)).encode()
        header_length = None
        headers["Content-Type"] = "application/json"
    else:
        raw = [wire.raw_bytes(item.values) for item in call.inputs]
        head = wire.binary_header(call.inputs, [len(part) for part in raw])
        body, header_length = b"".join([head, *raw]), len(head)
        headers |= {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(header_length)}
    headers["Content-Length"] = str(len(body))
    return _Request(path, headers, body, header_length)


def _connect(call: Call) -> HTTPConnection:
    connection = HTTPConnection(call.host, call.port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unavailable(f"The gateway does not answer at {call.address}: {reason}.") from error
    connection.sock.settimeout(call.timeout)
    return connection


def _exchange(connection: HTTPConnection, request: _Request, call: Call) -> tuple[_Reply | None, str]:
    """The reply, or None and a sentence on why there is none."""
    try:
        # A body that is too large is refused while it is still being sent: the answer is there already.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", request.path, body=request.body, headers=dict(request.headers))
        response = connection.getresponse()
        return _Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()), ""
    except TimeoutError:
        return None, f"There was no answer within {call.timeout:g} s."
    except (OSError, HTTPException) as error:
        return None, f"The connection ended before an answer came ({type(error).__name__})."


def _answer(request: _Request, reply: _Reply | None, trouble: str, times: tuple[float, float, float, float]) -> Answer:
    begun, built, connected, answered = times
    responses: tuple[Response, ...] = ()
    if reply is None:
        status, error, received = "no answer", trouble, Message("", {}, "", 0)
    else:
        status = f"{reply.status} {phrases.get(reply.status, '')}".strip()
        responses, error = _read(reply, 1000 * (answered - connected))
        text = _shown(reply.body, _header_length(reply))
        received = Message(f"HTTP/1.1 {status}", reply.headers, text, len(reply.body))
    decoded = time.perf_counter()
    timing = Timing(
        build_ms=1000 * (built - begun), connect_ms=1000 * (connected - built), wait_ms=1000 * (answered - connected),
        decode_ms=1000 * (decoded - answered), server_ms=_number(reply.headers.get(SERVER_TIME)) if reply else None,
    )
    sent = Message(
        f"POST {request.path} HTTP/1.1", wire.shown_headers(request.headers),
        _shown(request.body, request.header_length), len(request.body),
    )
    return Answer(not error, status, error, responses, timing, sent, received)


def _read(reply: _Reply, at_ms: float) -> tuple[tuple[Response, ...], str]:
    if reply.status != 200:
        return (), _said(reply)
    try:
        result = InferResult.from_response_body(reply.body, header_length=_header_length(reply))
        rows = result.get_response()["outputs"]
        outputs = tuple(wire.output_of(row["name"], row["datatype"], result.as_numpy(row["name"])) for row in rows)
    except (ValueError, LookupError, TypeError, AttributeError):
        return (), "The answer is not a V2 inference response."
    return (Response(outputs, at_ms),), ""


def _said(reply: _Reply) -> str:
    """The V2 error `{"error": "..."}`, or whatever came instead."""
    try:
        said: Any = json.loads(reply.body)["error"]
    except (ValueError, LookupError, TypeError):
        said = ""
    text = wire.cut(reply.body.decode("utf-8", "replace"))
    return str(said) or text or f"The answer was {reply.status} without a reason."


def _header_length(reply: _Reply) -> int | None:
    length = reply.headers.get(HEADER_LENGTH.lower(), "")
    return int(length) if length.isdecimal() else None


def _shown(body: bytes, header_length: int | None) -> str:
    head = body if header_length is None else body[:header_length]
    text = wire.cut(head.decode("utf-8", "replace"))
    return text if header_length is None else f"{text}\n… and {len(body) - header_length:,} bytes of tensor data"


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def status(host: str, port: int, path: str, key: str, timeout: float = 5.0) -> int:
    """The HTTP status of a GET. Raises Unavailable when nothing answers; `timeout` in seconds."""
    connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise Unavailable(f"The gateway does not answer at {host}:{port}.") from error
    finally:
        connection.close()
