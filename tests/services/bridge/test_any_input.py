"""Whatever comes in, a translator translates it or refuses it: nothing else is raised."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from services.bridge import sse, table
from services.bridge.errors import BridgeError, from_backend
from services.bridge.predict import parsed
from services.bridge.protos import tfserving
from services.bridge.table import Service
from services.bridge.translators import tfserving_v2, v1_v2, v2grpc_openai
from services.bridge.values import tensors
from services.bridge.values.tensors import Model
from services.specs import Tensor
from tests.services.bridge import recorded

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({"b64": "AAA="}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "b64"]), inner, max_size=3),
    max_leaves=12,
)
TENSORS = st.builds(
    Tensor,
    st.sampled_from(["x", "y", "b64"]),
    st.sampled_from(["FP32", "FP16", "BF16", "INT8", "UINT64", "BOOL", "BYTES", "NEW"]),
    st.lists(st.sampled_from([-1, 0, 1, 2]), max_size=3).map(tuple),
)
MODELS = st.builds(
    Model,
    st.lists(TENSORS, max_size=3, unique_by=lambda tensor: tensor.name).map(tuple),
    st.just(()),
)
CHAT = Service("tiny", "1", "a", False, True, 1, "vllm", "chat", (), 256, 0)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["instances", "inputs", "other"]), VALUES, MODELS)
def test_v1(field: str, value: Any, model: Model) -> None:
    with suppress(BridgeError):
        plan = v1_v2.read(json.dumps({field: value}).encode(), model)
        for request in plan.requests:
            tensors.request(request)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 25), st.lists(st.integers(-2, 3), max_size=3), st.binary(max_size=12), st.lists(st.integers(-9, 9))
)
def test_tfserving(dtype: int, shape: list[int], content: bytes, numbers: list[int]) -> None:
    request = tfserving.PredictRequest()
    tensor = request.inputs["x"]
    tensor.dtype, tensor.tensor_content = dtype, content
    tensor.int_val.extend(numbers)
    tensor.half_val.extend(numbers)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    with suppress(BridgeError):
        tensors.request(tfserving_v2.inputs_of(request, 1 << 16))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_message(content: bytes) -> None:
    for kind in (tfserving.PredictRequest, tfserving.GetModelMetadataRequest, service_pb2.ModelInferRequest):
        with suppress(BridgeError):
            parsed(kind, content)
    with suppress(BridgeError):
        v2grpc_openai.piece(v2grpc_openai.read(_infer_request(b"hi", "", ()), CHAT), content)
    with suppress(BridgeError):
        sse.Events().feed(content)
    with suppress(ValueError):
        table.parse(content)
    assert from_backend(500, content).message


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=12),
    st.sampled_from(["", "BYTES", "UINT8", "INT8", "INT32", "INT64", "UINT64", "FP32"]),
    st.lists(st.integers(-1, 3), max_size=2).map(tuple),
)
def test_prompts(raw: bytes, datatype: str, shape: tuple[int, ...]) -> None:
    with suppress(BridgeError):
        question = v2grpc_openai.read(_infer_request(raw, datatype, shape), CHAT)
        response = v2grpc_openai.response(question, question.prompt, None)
        assert list(response.raw_output_contents) == [raw]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_answers_that_are_damaged(data: st.DataObject) -> None:
    wire = recorded.load("triton-infer")
    content = bytearray(wire.body)
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    with suppress(BridgeError):
        tensors.outputs_of(bytes(content[: data.draw(st.integers(at, len(content)))]), wire.header_length)


def _infer_request(raw: bytes, datatype: str, shape: tuple[int, ...]) -> Any:
    request = service_pb2.ModelInferRequest(model_name="tiny", raw_input_contents=[raw])
    request.inputs.add(name="prompt", datatype=datatype, shape=shape)
    return request


@pytest.mark.parametrize("name", ["instances", "inputs"])
def test_the_deepest_nesting_is_refused(name: str) -> None:
    deep = b'{"%s": ' % name.encode() + b"[" * 900 + b"1" + b"]" * 900 + b"}"
    with pytest.raises(BridgeError):
        v1_v2.read(deep, Model((Tensor("x", "FP32", (-1, 1)),), ()))
