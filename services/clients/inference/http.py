"""One V2 REST inference, timed step by step. tritonclient reads the answer; what is sent is made here, to be shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import quote

from tritonclient.http import InferResult

from console.errors import Unavailable
from services.clients.inference import http_exchange as http
from services.clients.inference import wire
from services.clients.inference.call import Answer, Call, Output
from services.clients.inference.caller import Caller

HEADER_LENGTH: Final = "inference-header-content-length"
"""Header of the binary extension: bytes of the body that are JSON."""


def infer(call: Call) -> Answer:
    """Raises Unavailable when nothing listens there."""
    return http.infer(call.caller, partial(_build, call), _read, "a V2 inference response", _shown)


def _build(call: Call) -> http.Request:
    path = f"/v2/models/{quote(call.model, safe='')}/infer"
    if not call.binary and all(wire.fits_json(item) for item in call.inputs):
        body = json.dumps(wire.json_request(call.inputs, call.outputs, call.step)).encode()
        return http.Request(path, http.headers_of(call.caller, "application/json", body), body)
    raw = [wire.raw_bytes(item.values) for item in call.inputs]
    head = wire.binary_header(call.inputs, [len(part) for part in raw], call.step)
    body = b"".join([head, *raw])
    headers = {**http.headers_of(call.caller, "application/octet-stream", body), HEADER_LENGTH: str(len(head))}
    return http.Request(path, headers, body)


def _read(reply: http.Reply) -> tuple[Output, ...]:
    room = wire.Room()
    result = InferResult.from_response_body(_readable(reply), header_length=_header_length(reply.headers))
    rows = result.get_response()["outputs"]
    return tuple(wire.output_of(row["name"], row["datatype"], result.as_numpy(row["name"]), room) for row in rows)


def _readable(reply: http.Reply) -> bytes:
    """Triton writes BYTES into JSON as they are, also those that are no text: they are shown as far as they are."""
    if _header_length(reply.headers) is not None:
        return reply.body
    return reply.body.decode("utf-8", "replace").encode()


def _header_length(headers: Mapping[str, str]) -> int | None:
    length = headers.get(HEADER_LENGTH, "")
    return int(length) if length.isdecimal() else None


def _shown(body: bytes, size: int, headers: Mapping[str, str]) -> str:
    header_length = _header_length(headers)
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
