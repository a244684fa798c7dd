"""What the bridge translates: whole requests of V1 and of TensorFlow Serving, changed a little.

Noise is refused by the first parser that sees it. These get through that, to the code which believes that names,
shapes, types and values belong together; behind it is the real Triton.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import grpc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.bridge.protos import tfserving
from tests.integration.fuzz.arena import EXAMPLES, KEY, Arena

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
PREDICT, METADATA = (f"/tensorflow.serving.PredictionService/{name}" for name in ("Predict", "GetModelMetadata"))
V1 = "/v1/models/rows:predict"
OWN_FAILURES = (
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
)
SIZES = st.one_of(st.integers(-2, 5), st.sampled_from([2**31, 2**62, 2**63 - 1, -(2**63), 1000]))
TYPES = st.one_of(st.integers(-1, 26), st.sampled_from([1, 7, 101, 2**31 - 1]))
WORDS = st.sampled_from([b"a", b"", b"\xff\xfe", b"\0", b"x" * 300, "ä€😀".encode(), b"fail"])
NUMBERS = st.one_of(st.floats(width=32), st.integers(-3, 300))
CONTENTS = st.one_of(st.binary(max_size=24), st.just(struct.pack("<2f", 1, 2)), st.just(b"\1a"), st.just(b"\x80" * 12))
CHANGES = st.sampled_from(
    [
        "nothing",
        "shape",
        "type",
        "values",
        "content",
        "field",
        "name",
        "drop",
        "rank",
        "version",
        "filter",
        "signature",
        "extra",
    ]
)


def test_what_is_changed_here_is_answered_when_it_is_not(arena: Arena) -> None:
    with grpc.insecure_channel(arena.gateway.address) as channel:
        assert _call(channel, PREDICT, _whole().SerializeToString()) is grpc.StatusCode.OK
    answer = arena.gateway.call("POST", V1, json.dumps(ROWS), X_API_Key=KEY, Content_Type="application/json")
    assert answer.status == 200 and len(json.loads(answer.body)["predictions"]) == 2


def _whole() -> Any:
    request = tfserving.PredictRequest()
    request.model_spec.name = "rows"
    numbers, text = request.inputs["numbers"], request.inputs["text"]
    numbers.dtype, text.dtype = 1, 7
    for tensor, shape in ((numbers, (1, 2)), (text, (1, 1))):
        for size in shape:
            tensor.tensor_shape.dim.add().size = size
    numbers.float_val.extend([1, 2])
    text.string_val.append(b"a")
    return request


@st.composite
def predictions(draw: st.DrawFn) -> bytes:
    """A request that is answered, with one to four changes."""
    request = _whole()
    for change in draw(st.lists(CHANGES, min_size=1, max_size=4)):
        names = sorted(request.inputs) or ["numbers"]
        _change(draw, request, change, request.inputs[draw(st.sampled_from(names))])
    encoded: bytes = request.SerializeToString()
    return encoded


def _change(draw: st.DrawFn, request: Any, change: str, tensor: Any) -> None:
    if change == "shape":
        del tensor.tensor_shape.dim[:]
        for size in draw(st.lists(SIZES, max_size=6)):
            tensor.tensor_shape.dim.add().size = size
    elif change == "type":
        tensor.dtype = draw(TYPES)
    elif change == "values":
        tensor.float_val.extend(draw(st.lists(NUMBERS, max_size=5)))
        tensor.string_val.extend(draw(st.lists(WORDS, max_size=3)))
    elif change == "content":
        tensor.tensor_content = draw(CONTENTS)
    elif change == "field":
        field = draw(st.sampled_from(["double_val", "int_val", "half_val", "int64_val", "uint32_val", "uint64_val"]))
        getattr(tensor, field).extend(draw(st.lists(st.integers(0, 2**31 - 1), max_size=4)))
    elif change == "name":
        request.inputs[draw(st.sampled_from(["", "Numbers", "x" * 300, "nu\nm", "ü"]))].CopyFrom(tensor)
    elif change == "drop":
        request.inputs.pop(draw(st.sampled_from(["numbers", "text"])), None)
    elif change == "rank":
        tensor.tensor_shape.unknown_rank = True
    elif change == "version":
        request.model_spec.version.value = draw(st.sampled_from([0, 1, 2, -1, 2**63 - 1]))
    elif change == "filter":
        request.output_filter.extend(draw(st.lists(st.sampled_from(["sum", "upper", "none", "", "ü"]), max_size=4)))
    elif change == "signature":
        request.model_spec.signature_name = draw(st.text(max_size=5))
    elif change == "extra":
        request.inputs["more"].CopyFrom(tensor)


@pytest.fixture(scope="module")
def stub(arena: Arena) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(arena.gateway.address) as channel:
        yield channel


def _call(channel: grpc.Channel, path: str, message: bytes) -> grpc.StatusCode:
    try:
        channel.unary_unary(path)(message, metadata=(("x-api-key", KEY),), timeout=20)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def unharmed(arena: Arena, logged: int) -> None:
    assert all(process.poll() is None for process in arena.processes().values())
    assert "Traceback" not in arena.bridge_log.read_text()[logged:]


@settings(max_examples=3 * EXAMPLES, deadline=None, derandomize=True)
@given(message=predictions(), cut=st.none() | st.integers(20, 60), path=st.sampled_from([PREDICT, PREDICT, METADATA]))
def test_requests_of_tensorflow_serving_that_are_a_little_wrong(
    arena: Arena, stub: grpc.Channel, message: bytes, cut: int | None, path: str
) -> None:
    logged = arena.bridge_log.stat().st_size
    code = _call(stub, path, message if cut is None else message[:cut])
    assert code not in OWN_FAILURES, code
    unharmed(arena, logged)


ROWS = {"instances": [{"numbers": [1, 2], "text": ["a"]}, {"numbers": [3.5, 4], "text": ["b"]}]}
COLUMNS = {"inputs": {"numbers": [[1, 2]], "text": [["a"]]}}
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        [
            [],
            {},
            [[]],
            "",
            "\ud800",
            10**400,
            {"b64": base64.b64encode(bytes(8)).decode()},
            {"b64": "%"},
            {"b64": 1},
            {"b64": "", "x": 1},
            [[1, 2], [3]],
            [1, "a"],
            [None],
        ]
    ),
)


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """A body that is answered, with one to three of its parts replaced, doubled, dropped or wrapped."""
    body: Any = json.loads(json.dumps(draw(st.sampled_from([ROWS, COLUMNS]))))
    for _ in range(draw(st.integers(1, 3))):
        at, above = body, []
        while isinstance(at, dict | list) and at and (not above or draw(st.booleans())):
            key = draw(st.sampled_from(sorted(at))) if isinstance(at, dict) else draw(st.integers(0, len(at) - 1))
            above.append((at, key))
            at = at[key]
        holder, key = above[-1] if above else ({}, "")
        change = draw(st.sampled_from(["replace", "double", "drop", "wrap", "rename"]))
        if change == "replace":
            holder[key] = deepcopy(draw(LEAVES))
        elif change == "wrap":
            holder[key] = [at]
        elif change == "double" and isinstance(holder, list):
            holder.insert(key, deepcopy(at))
        elif change == "rename" and isinstance(holder, dict):
            renamed = draw(st.sampled_from(["instances", "inputs", "numbers", "b64", "", "signature_name"]))
            holder[renamed] = deepcopy(at)
        elif change == "drop" and above:
            del holder[key]
    return body


@settings(max_examples=3 * EXAMPLES, deadline=None, derandomize=True)
@given(body=bodies())
@example(body={"instances": [{"numbers": [1e39, 1], "text": ["a"]}]})
@example(body={"instances": [{"numbers": [1, 2], "text": ["fail"]}]})
@example(body={"instances": ROWS["instances"] * 500})
@example(body={"inputs": {"numbers": [[1, 2]] * 5, "text": [["a"]] * 4}})
def test_bodies_of_v1_that_are_a_little_wrong(arena: Arena, body: Any) -> None:
    logged = arena.bridge_log.stat().st_size
    sent = json.dumps(body).encode()
    answer = arena.gateway.call("POST", V1, sent, X_API_Key=KEY, Content_Type="application/json")
    assert answer.status in (200, 400, 413, 422) or b"fail" in sent, (answer, body)
    if answer.status != 200:
        assert isinstance(json.loads(answer.body)["error"], str)
    unharmed(arena, logged)
