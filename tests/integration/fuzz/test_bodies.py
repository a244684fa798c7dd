"""Bodies: JSON of any shape, cases of Triton's http_test.py, and whatever schemathesis makes of
docs/gateway-openapi.yaml. `rows` is the real Triton.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.home import CHECKOUT
from tests.clients import python, variables
from tests.integration.fuzz.arena import EXAMPLES, KEY, MIB, Arena, watched
from tests.servers.gateway.rig import Answer

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
INFER, PREDICT, CHAT = "/v2/models/rows/infer", "/v1/models/rows:predict", "/v1/chat/completions"
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just({"b64": "AAA="})
NAMES = st.sampled_from(
    [
        "inputs",
        "outputs",
        "name",
        "shape",
        "datatype",
        "data",
        "instances",
        "numbers",
        "text",
        "model",
        "messages",
        "role",
        "content",
        "stream",
        "max_tokens",
        "id",
        "parameters",
        "binary_data_size",
        "b64",
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=15
)
NUMBERS = {"name": "numbers", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}


DEAR = (
    b'"' + b"\\\\" * (4 * MIB) + b'"',
    b'"' + b'\\"' * (4 * MIB) + b'"',
    b'"' + b"\\" * MIB,
    b"[" + b"[]," * MIB + b"1]",
    b"[" + b"1," * (4 * MIB) + b"1]",
    b" " * (8 * MIB) + b"1",
)


def post(arena: Arena, path: str, body: bytes, **headers: str) -> Answer:
    return arena.gateway.call("POST", path, body, X_API_Key=KEY, **{"Content_Type": "application/json", **headers})


def check(arena: Arena, path: str, body: bytes, **headers: str) -> int:
    """The status of an answer that is well-formed, and no failure of the gateway or the bridge."""
    logged = arena.bridge_log.stat().st_size
    answer = post(arena, path, body, **headers)
    assert answer.status not in (502, 503, 504), answer
    if answer.status >= 400:
        error = json.loads(answer.body)["error"]
        assert isinstance(error["message"] if path == CHAT else error, str)
    if answer.status >= 500:
        assert path == INFER or "the bridge's log" not in answer.error, answer
    assert "Traceback" not in arena.bridge_log.read_text()[logged:]
    assert all(process.poll() is None for process in arena.processes().values())
    return answer.status


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(path=st.sampled_from([INFER, PREDICT, CHAT]), value=VALUES)
@example(path=PREDICT, value={"instances": [{"numbers": [10**400, 1], "text": ["a"]}]})
@example(path=PREDICT, value={"instances": [{"numbers": [1, 2], "text": ["\ud800"]}]})
@example(path=PREDICT, value={"inputs": {"numbers": [[]], "text": [[]]}})
@example(path=CHAT, value={"model": "\ud800", "messages": []})
@example(path=CHAT, value={"model": "llama\u0000", "messages": []})
def test_json_of_any_shape(arena: Arena, path: str, value: Any) -> None:
    if path == CHAT and isinstance(value, dict):
        value = {**value, "model": value.get("model", "mnist")}
    check(arena, path, json.dumps(value).encode())


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(path=st.sampled_from([INFER, PREDICT, CHAT]), body=st.binary(max_size=200))
@example(path=PREDICT, body=b'{"instances": [[' + b"9" * 5000 + b"]]}")
@example(path=PREDICT, body=b'{"instances": ["\xff\xfe"]}')
@example(path=INFER, body=b"\xef\xbb\xbf{}")
def test_bodies_that_are_no_json(arena: Arena, path: str, body: bytes) -> None:
    assert check(arena, path, body) >= 400 or (path == CHAT and b"llama" in body)


@pytest.mark.parametrize("path", [INFER, PREDICT, CHAT])
def test_json_as_deep_as_it_goes(arena: Arena, path: str) -> None:
    with watched(arena):
        for depth in (65, 100, 1000, 100_000, 1_000_000):
            for opening, ending in ((b"[", b"]"), (b'{"a":', b"}")):
                assert check(arena, path, opening * depth + b"1" + ending * depth) >= 400
                assert check(arena, path, opening * depth) >= 400


@pytest.mark.parametrize("path", [INFER, PREDICT, CHAT])
def test_json_that_is_dear_to_read(arena: Arena, path: str) -> None:
    """Escapes, quotes and brackets by the million; one field is suspicious, so that all of it is looked at."""
    top = b'{"model": "llama", "messages": [], "inputs": "hared_memory", "x": '
    with watched(arena):
        for filler in DEAR:
            check(arena, path, top + filler + b"}")


@pytest.mark.parametrize(
    "inputs",
    [
        [{**NUMBERS, "shape": [-1, 2]}],
        [{**NUMBERS, "shape": [1, -2]}],
        [{**NUMBERS, "shape": [2**62, 2**62]}],
        [{**NUMBERS, "shape": [2**63]}],
        [{**NUMBERS, "shape": []}],
        [{**NUMBERS, "data": [1] * 9}],
        [NUMBERS, NUMBERS],
        [{**NUMBERS, "datatype": "BYTES"}],
        [{**NUMBERS, "data": [[[[1]]]]}],
        [{**NUMBERS, "name": "x" * 100_000}],
        [{**NUMBERS, "parameters": {"binary_data_size": 2**40}}],
        [{**NUMBERS, "parameters": {"binary_data_size": -1}}],
    ],
)
def test_tensors_that_cannot_be(arena: Arena, inputs: list[Any]) -> None:
    """Negative dimensions, products that overflow, too much data, the same input twice, sizes beyond the body."""
    assert check(arena, INFER, json.dumps({"inputs": [*inputs, TEXT]}).encode()) >= 400


def test_outputs_asked_twice_and_a_hundred_levels_of_parameters(arena: Arena) -> None:
    twice = {"inputs": [NUMBERS, TEXT], "outputs": [{"name": "sum"}, {"name": "sum"}]}
    check(arena, INFER, json.dumps(twice).encode())
    deep = json.dumps({"inputs": [NUMBERS, TEXT], "parameters": 0}).encode()
    check(arena, INFER, deep.replace(b": 0", b": " + b'{"a":' * 100 + b"1" + b"}" * 100))
    assert check(arena, INFER, json.dumps({"inputs": [NUMBERS, TEXT]}).encode()) == 200


def test_what_schemathesis_makes_of_the_document(arena: Arena) -> None:
    config = Path(__file__).with_name("schemathesis.toml")
    command = [
        python().with_name("st"),
        "--config-file",
        config,
        "run",
        CHECKOUT / "docs" / "gateway-openapi.yaml",
        "--url",
        f"http://{arena.gateway.address}",
        "--header",
        f"X-API-Key: {KEY}",
        "--max-examples",
        str(max(5, EXAMPLES // 4)),
        "--checks",
        "not_a_server_error,response_schema_conformance",
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "3",
        "--no-color",
        "--generation-database",
        "none",
        "--suppress-health-check",
        "all",
    ]
    with watched(arena):
        done = subprocess.run(
            command,
            env=variables(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=arena.gateway.directory,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
