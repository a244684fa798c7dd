"""NVIDIA's client examples that need no GPU, through the gateway with a key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.live import Live
from tests.integration.nvidia.models import GREETING, PROGRAMS, VALUES

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]
COUNTING = list(range(16))


def sums(factor: int = 1) -> list[list[int]]:
    """OUTPUT0 and OUTPUT1 for 0 to 15 and as many times `factor`."""
    return [[value + factor for value in COUNTING], [value - factor for value in COUNTING]]


def sequence(number: int = 0) -> list[int]:
    """One more for the start; `number` more at the end, where the model is given it."""
    return [VALUES[0] + 1, *VALUES[1:-1], VALUES[-1] + number]


NULLS, BLOBS = ["he\0llo"] * 16, ["\0\1\2\3"] * 16
CLASSES = [[["1", "green"], ["2", "blue"]], [["0", "red"], ["3", "grey"]]]
HTTP = {
    "infer": [sums(), sums(), "mine"],
    "asynchronous": [sums(index) for index in range(4)],
    "reuse": [sums(1), sums(2)],
    "strings": sums(),
    "bytes_and_nulls": [NULLS, NULLS, BLOBS, BLOBS],
    "sequences": [sequence(), sequence(), sequence(1001)],
    "classification": CLASSES,
    "compressed_answers": sums(),
    "key_by_plugin": sums(),
    "asyncio_infer": [sums(-1)] * 3,
}
GRPC = {
    "infer": [sums(), sums(), "mine"],
    "asynchronous": {str(index): sums(index) for index in range(4)},
    "cancelled": "StatusCode.CANCELLED",
    "reuse": [sums(1), sums(2)],
    "strings": sums(),
    "bytes_and_nulls": [NULLS, BLOBS],
    "sequences": [sequence(), sequence(), sequence(2001)],
    "streamed_sequences": [sequence(), sequence(), sequence(3001), sequence(3002)],
    "decoupled": [list(range(100, 110)), [False, True]],
    "keepalive": [sums(), sums()],
    "channel_arguments": sums(),
    "classification": CLASSES,
    "asyncio_infer": [sums(-1)] * 3,
    "asyncio_streamed_sequence": sequence(),
}


@pytest.mark.parametrize("example", HTTP)
def test_an_example_over_http_gets_its_answer(http: Any, example: str) -> None:
    assert http[example] == {"said": HTTP[example]}


@pytest.mark.parametrize("example", GRPC)
def test_an_example_over_grpc_gets_its_answer(grpc: Any, example: str) -> None:
    assert grpc[example] == {"said": GRPC[example]}


def test_typed_contents_are_answered_as_nvidias_examples_read_them(grpc: Any) -> None:
    output = grpc["explicit_contents"]["said"]
    assert output["INT32"] == output["INT8"] == output["BYTES"] == sums()
    assert output["id"] == "my request id"
    assert output["mixed"][0] == output["version"][0] == "INVALID_ARGUMENT"
    assert "contents field must not be specified when using raw_input_contents" in output["mixed"][1]
    assert "failed to get model version from specified version string 'wrong_specification'" in output["version"][1]


def tensor(name: str, size: str | int = 16) -> dict[str, Any]:
    return {"name": name, "datatype": "INT32", "shape": [type(size)(-1), size]}


def test_health_and_metadata_over_http(http: Any) -> None:
    output = http["health_and_metadata"]["said"]
    assert (output["live"], output["ready"], output["model_ready"], output["other_ready"]) == (True, True, True, False)
    assert (output["model"]["name"], output["model"]["platform"]) == ("simple", "onnxruntime_onnx")
    assert output["model"]["inputs"] == [tensor("INPUT0"), tensor("INPUT1")]
    assert output["model"]["outputs"] == [tensor("OUTPUT0"), tensor("OUTPUT1")]


def test_health_and_metadata_over_grpc(grpc: Any) -> None:
    output = grpc["health_and_metadata"]["said"]
    assert (output["live"], output["ready"], output["model_ready"]) == (True, True, True)
    assert output["model"]["name"] == "simple"
    assert output["model"]["inputs"] == [tensor("INPUT0", "16"), tensor("INPUT1", "16")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_model_prints_is_in_the_log_that_the_console_shows(services: Live, name: str) -> None:
    assert f"initialize: {GREETING}\n" in services.api(f"services/{name}/logs/").body["text"]


CLOSED = (
    "config",
    "statistics",
    "all statistics",
    "index",
    "load",
    "unload",
    "shared memory",
    "register",
    "unregister",
    "cuda",
    "register cuda",
    "unregister cuda",
    "trace",
    "set trace",
    "log",
    "set log",
)
"""Calls of the examples that no caller may make: docs/security.md."""
NOT_SERVED = "This path or method is not served here."
UNKNOWN = "No service is named wrong-model-name."
REFUSED_OVER_HTTP = {
    **dict.fromkeys((*CLOSED, "load with files", "trace of a model"), ("404", NOT_SERVED)),
    **dict.fromkeys(("unknown model", "unknown model infer"), ("404", UNKNOWN)),
    **dict.fromkeys(
        ("input in shared memory", "output in shared memory"),
        ("400", "This field is not allowed here. (shared_memory_region)"),
    ),
    **dict.fromkeys(("gzip", "deflate"), ("415", "Content-Encoding is not supported here: send the body as it is.")),
    "unknown version": ("404", "version 7 is not found"),
    "shape": ("400", "expected 2 inputs but got 1 inputs for model 'simple'"),
    "decoupled": ("501", "decoupled"),
}
REFUSED_OVER_GRPC = {
    **dict.fromkeys(CLOSED, ("UNIMPLEMENTED", NOT_SERVED)),
    **dict.fromkeys(("unknown model", "unknown model ready", "unknown model infer"), ("NOT_FOUND", UNKNOWN)),
    **dict.fromkeys(
        ("input in shared memory", "output in shared memory"),
        ("INVALID_ARGUMENT", "Tensors in shared memory are not supported here: send them in the message."),
    ),
    **dict.fromkeys(
        ("gzip", "deflate"), ("UNIMPLEMENTED", "Compressed messages are not supported here: send them as they are.")
    ),
    "unknown version": ("NOT_FOUND", "version 7 is not found"),
    "shape": ("INVALID_ARGUMENT", "expected 2 inputs but got 1 inputs for model 'simple'"),
    "decoupled": ("UNIMPLEMENTED", "doesn't support models with decoupled transaction policy"),
    "sequence without an id": ("INVALID_ARGUMENT", "must specify a non-zero or non-empty correlation ID"),
}


def test_what_is_refused_over_http_says_why(http: Any) -> None:
    output = http["refusals"]["said"]
    assert output.keys() == REFUSED_OVER_HTTP.keys()
    for call, (status, sentence) in REFUSED_OVER_HTTP.items():
        assert (output[call][0], sentence in output[call][1]) == (status, True), (call, output[call])


def test_what_is_refused_over_grpc_says_why(grpc: Any) -> None:
    output = grpc["refusals"]["said"]
    assert output.keys() == REFUSED_OVER_GRPC.keys()
    for call, (status, sentence) in REFUSED_OVER_GRPC.items():
        assert (output[call][0], sentence in output[call][1]) == (f"StatusCode.{status}", True), (call, output[call])
