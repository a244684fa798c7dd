"""KServe V1: the body that says the same as a V2 request, and the answer that says the same as its response."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.corpus.case import V1, Arrays, Case, Request
from tests.integration.corpus.server import Server


def send(server: Server, case: Case, body: Mapping[str, Any]) -> tuple[int, Any]:
    return server.post(f"/v1/models/{case.name}:predict", body)


def send_columns(server: Server, case: Case, request: Request) -> None:
    body = {"inputs": {name: nested(values) for name, values in request.inputs.items()}}
    status, answer = send(server, case, body)
    if request.error:
        assert (status, request.error in answer["error"]) == (request.status, True), answer
        return
    assert status == 200, answer
    compare(answer["outputs"], _single_or_all(request.outputs))


def send_rows(server: Server, case: Case, request: Request) -> None:
    """Each row of the first axis is an instance."""
    rows = _rows(request.inputs)
    status, answer = send(server, case, {"instances": rows})
    if request.error:
        assert (status, request.error in answer["error"]) == (request.status, True), answer
        return
    assert status == 200, answer
    compare(answer["predictions"], _rows(request.outputs))


def compare(received: Any, expected: Any) -> None:
    """Alike in kind, length and text; numbers within the precision of 32 bits, whose shortest form JSON has."""
    if json.dumps(received) != json.dumps(expected):  # much faster where a million values are the same
        _compare(received, expected)


def _compare(received: Any, expected: Any) -> None:
    assert type(received) is type(expected) or {type(received), type(expected)} == {int, float}, (received, expected)
    if isinstance(expected, dict):
        assert received.keys() == expected.keys()
        for key, value in expected.items():
            _compare(received[key], value)
    elif isinstance(expected, list):
        assert len(received) == len(expected)
        for one, other in zip(received, expected, strict=True):
            _compare(one, other)
    elif isinstance(expected, float):
        assert received == pytest.approx(expected, rel=1e-6, nan_ok=True)
    else:
        assert received == expected


def send_own(server: Server, case: Case, exchange: V1) -> None:
    """What the case itself says of V1."""
    status, answer = send(server, case, exchange.body)
    assert status == exchange.status, answer
    if exchange.error:
        assert exchange.error in answer["error"], answer
    else:
        assert answer == exchange.answer


def _rows(arrays: Arrays) -> list[Any]:
    if len(arrays) == 1:
        return list(nested(next(iter(arrays.values()))))
    columns = {name: nested(values) for name, values in arrays.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _single_or_all(arrays: Arrays) -> Any:
    converted = {name: nested(values) for name, values in arrays.items()}
    return next(iter(converted.values())) if len(converted) == 1 else converted


def nested(values: NDArray[Any]) -> Any:
    """As V1 writes them: texts, or all of them in base64 where one is no text."""
    if values.dtype == ml_dtypes.bfloat16:
        return values.astype(np.float32).tolist()
    if values.dtype != object:
        return values.tolist()
    flat = [_text(value) for value in values.ravel()]
    if None in flat:
        flat = [{"b64": base64.b64encode(value).decode()} for value in values.ravel()]
    shaped = np.empty(len(flat), dtype=object)
    shaped[:] = flat
    return shaped.reshape(values.shape).tolist()


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
