"""One V2 REST inference, timed step by step. tritonclient reads the answer; what is sent is made here, to be shown."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import quote

from tritonclient.http import InferResult

from console.errors import Unavailable
from services.clients.inference import http_exchange as http
from services.clients.inference import wire
from services.clients.inference.call import Answer, Call, Message, Response, Timing
from services.clients.inference.caller import Caller, without_key

HEADER_LENGTH: Final = "inference-header-content-length"
"""Header of the binary extension: bytes of the body that are JSON."""


def infer(call: Call) -> Answer:
    """Raises Unavailable when nothing listens there. Anything that answers, however badly, gives an Answer."""
    begun = time.perf_counter()
    request, header_length = _build(call)
    built = time.perf_counter()
    exchange = http.post(call.caller, request)
    answered = time.perf_counter()
    responses: tuple[Response, ...] = ()
    if (reply := exchange.reply) is None:
        status, error, received = "no answer", exchange.trouble, Message("", {}, "", 0)
    else:
        status = reply.status_line
        responses, error = _read(reply, exchange.wait_ms)
        text = _shown(reply.body, reply.size, _header_length(reply))
        received = Message(f"HTTP/1.1 {status}", reply.headers, text, reply.size)
    decoded = time.perf_counter()
    timing = Timing(1000 * (built - begun), exchange.connect_ms, exchange.wait_ms, 1000 * (decoded - answered))
    sent = Message(
        f"POST {request.path} HTTP/1.1",
        without_key(request.headers, call.caller.key),
        _shown(request.body, len(request.body), header_length),
        len(request.body),
    )
    return Answer(not error, status, error, responses, timing, sent, received)


def _build(call: Call) -> tuple[http.Request, int | None]:
    path = f"/v2/models/{quote(call.model, safe='')}/infer"
    if not call.binary and all(wire.fits_json(item) for item in call.inputs):
        body = json.dumps(wire.json_request(call.inputs, call.outputs, call.step)).encode()
        return http.Request(path, http.headers_of(call.caller, "application/json", body), body), None
    raw = [wire.raw_bytes(item.values) for item in call.inputs]
    head = wire.binary_header(call.inputs, [len(part) for part in raw], call.step)
    body = b"".join([head, *raw])
    headers = {**http.headers_of(call.caller, "application/octet-stream", body), HEADER_LENGTH: str(len(head))}
    return http.Request(path, headers, body), len(head)


def _read(reply: http.Reply, at_ms: float) -> tuple[tuple[Response, ...], str]:
    if reply.status != 200:
        return (), http.error_of(reply.body, reply.status)
    if reply.size > len(reply.body):
        return (), f"The answer has {reply.size:,} bytes: too many to be read here."
    room = wire.Room()
    try:
        result = InferResult.from_response_body(_readable(reply), header_length=_header_length(reply))
        rows = result.get_response()["outputs"]
        outputs = tuple(
            wire.output_of(row["name"], row["datatype"], result.as_numpy(row["name"]), room) for row in rows
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return (), "The answer is not a V2 inference response."
    return (Response(outputs, at_ms),), ""


def _readable(reply: http.Reply) -> bytes:
    """Triton writes BYTES into JSON as they are, also those that are no text: they are shown as far as they are."""
    if _header_length(reply) is not None:
        return reply.body
    return reply.body.decode("utf-8", "replace").encode()


def _header_length(reply: http.Reply) -> int | None:
    length = reply.headers.get(HEADER_LENGTH, "")
    return int(length) if length.isdecimal() else None


def _shown(body: bytes, size: int, header_length: int | None) -> str:
    head = body if header_length is None else body[:header_length]
    text = wire.cut(head.decode("utf-8", "replace"))
    return text if header_length is None else f"{text}\n… and {size - header_length:,} bytes of tensor data"


def status(caller: Caller, path: str) -> int:
    """The HTTP status of a GET. Raises Unavailable when nothing answers."""
    connection = HTTPConnection(caller.host, caller.port, timeout=caller.timeout)
    try:
        connection.request("GET", path, headers=caller.headers())
        return connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise Unavailable(f"The gateway does not answer at {caller.address}.") from error
    finally:
        connection.close()
