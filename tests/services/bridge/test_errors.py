from __future__ import annotations

import json

import pytest

from services.bridge import errors
from services.bridge.errors import BridgeError, Kind, from_backend


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Kind.INVALID, "INVALID_ARGUMENT"),
        (404, Kind.NOT_FOUND, "NOT_FOUND"),
        (413, Kind.TOO_LARGE, "RESOURCE_EXHAUSTED"),
        (422, Kind.INVALID, "INVALID_ARGUMENT"),
        (429, Kind.BUSY, "RESOURCE_EXHAUSTED"),
        (418, Kind.INVALID, "INVALID_ARGUMENT"),
        (500, Kind.INTERNAL, "INTERNAL"),
        (503, Kind.UNAVAILABLE, "UNAVAILABLE"),
        (504, Kind.TIMEOUT, "DEADLINE_EXCEEDED"),
        (599, Kind.INTERNAL, "INTERNAL"),
    ],
)
def test_a_backends_status_has_its_code_in_grpc(status: int, kind: Kind, code: str) -> None:
    error = from_backend(status, b'{"error": "because"}')
    assert (error.kind, error.kind.grpc.name, error.message) == (kind, code, "because")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 7}', b'{"error": {}}', b'"x' * 10])
def test_an_answer_without_a_sentence_gets_one(body: bytes) -> None:
    assert from_backend(503, body).message == errors.AWAY
    assert from_backend(500, body).message == "The service answered 500 without a reason."


def test_another_try_is_offered_where_it_may_help() -> None:
    assert from_backend(429, b"", "7").retry_after == "7"
    assert [from_backend(status, b"").retry_after for status in (429, 503, 400, 500)] == ["1", "1", "", ""]


def test_each_protocol_has_its_shape() -> None:
    error = BridgeError(Kind.NOT_FOUND, "There is no model x.")
    assert json.loads(errors.v1_body(error)) == {"error": "There is no model x."}
    assert json.loads(errors.openai_body(error, "model_not_found"))["error"] == {
        "message": "There is no model x.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }
