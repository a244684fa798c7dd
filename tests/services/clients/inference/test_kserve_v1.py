"""The example of a V1 request that a model's metadata gives, and what is made of an answer."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from services.clients.inference.call import SHOWN_BYTES, Answer, Model
from services.clients.inference.caller import Caller
from services.clients.inference.kserve_v1 import example, predict
from services.specs import Tensor


def model(*inputs: tuple[str, str, tuple[int, ...]]) -> Model:
    return Model("m", tuple(Tensor(*each) for each in inputs), ())


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([("x", "FP32", (-1, 3))], {"instances": [[0.0, 0.0, 0.0]]}),
        ([("x", "INT64", (-1,))], {"instances": [0]}),
        ([("x", "FP32", (1, 2, 2))], {"instances": [[[0.0, 0.0], [0.0, 0.0]]]}),
        ([("a", "FP32", (-1, 2)), ("t", "BYTES", (-1, 1))], {"instances": [{"a": [0.0, 0.0], "t": ["hello"]}]}),
        ([("a", "BOOL", (3,)), ("b", "INT32", (-1, 2))], {"inputs": {"a": [False] * 3, "b": [[0, 0]]}}),
        ([("x", "FP32", (-1, 3, 512, 512))], {"instances": []}),
        ([], {"instances": [{}]}),
        ([("a", "FP32", (-1, 2)), ("b", "INT8", (1,))], {"instances": [{"a": [0.0, 0.0], "b": 0}]}),
    ],
    ids=["vector", "scalar", "batch of one", "two inputs", "columns", "too large", "no inputs", "a batch and one"],
)
def test_an_example_has_the_shapes_that_the_model_asks_for(inputs: Any, expected: Any) -> None:
    assert example(model(*inputs)) == expected


@pytest.mark.parametrize(
    ("first", "output", "expected"),
    [
        (-1, (-1, 6), {"instances": [[0.0, 0.0]]}),
        (-1, (1,), {"inputs": {"x": [[0.0, 0.0]]}}),
        (-1, (3, 4), {"inputs": {"x": [[0.0, 0.0]]}}),
        (1, (1, 1000), {"instances": [[0.0, 0.0]]}),
        (1, (3,), {"inputs": {"x": [[0.0, 0.0]]}}),
    ],
)
def test_an_example_has_instances_only_where_outputs_can_have_a_row_for_each(
    first: int, output: tuple[int, ...], expected: Any
) -> None:
    outputs = (Tensor("y", "FP32", output),)
    assert example(Model("m", (Tensor("x", "FP32", (first, 2)),), outputs)) == expected


def answered(status: int, body: Any) -> Answer:
    """What `predict` makes of this very answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        try:
            return predict(Caller("127.0.0.1", server.server_port, "isk_secret"), "m", {"instances": [1]})
        finally:
            thread.join()


def test_predictions_are_listed_by_row() -> None:
    answer = answered(200, {"predictions": [8.0, [1, 2], {"label": "é"}]})
    (output,) = answer.outputs
    assert (output.name, output.total, output.values) == ("predictions", 3, [8.0, "[1, 2]", '{"label": "é"}'])
    assert answer.request.first_line == "POST /v1/models/m:predict HTTP/1.1" and "isk_secret" not in repr(answer)


def test_columns_are_one_value() -> None:
    (output,) = answered(200, {"outputs": {"a": [1], "b": [2]}}).outputs
    assert (output.name, output.values) == ("outputs", ['{"a": [1], "b": [2]}'])


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"error": "instances.0: ragged"}, "instances.0: ragged"),
        (200, b"[1]", "not a V1 prediction"),
        (200, b"<html>", "not a V1 prediction"),
        (502, b"", "502 without a reason"),
    ],
)
def test_what_is_no_prediction_is_an_error_in_words(status: int, body: Any, message: str) -> None:
    answer = answered(status, body)
    assert not answer.ok and message in answer.error


def test_of_a_large_answer_a_part_is_shown_and_the_rest_counted() -> None:
    answer = answered(200, {"predictions": ["x" * (SHOWN_BYTES - 100), "y" * 1000, "z"]})
    (output,) = answer.outputs
    assert sum(len(value) for value in output.values) <= SHOWN_BYTES + 1
    assert (output.total, output.truncated) == (3, True) and output.values[1] == "y" * 100 + "…"
