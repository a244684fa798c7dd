"""What the bridge translates: the service that the gateway found is the one that the message names, and every spelling
of a V1 body is answered as Python reads it, or refused in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from services.bridge.protos import tfserving
from tests.integration.differences import bodies
from tests.integration.differences.both import REFUSALS, Both
from tests.integration.differences.messages import GOOD, VARINT, field, groups, names, varint
from tests.integration.fuzz.arena import KEY

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
PREDICT = "/v1/models/rows:predict"
ROW = {"numbers": [1, 2], "text": ["a"]}
V1 = json.dumps({"instances": [ROW]}).encode()
V2, TF = "/inference.GRPCInferenceService/", "/tensorflow.serving.PredictionService/"


@pytest.fixture(autouse=True)
def not_counted(both: Both) -> Iterator[None]:
    """The bridge asks Triton as often as it needs to."""
    yield
    both.passed = None


@pytest.fixture(scope="module")
def channel(both: Both) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(both.arena.gateway.address, options=[("grpc.use_local_subchannel_pool", 1)]) as opened:
        yield opened


def check(both: Both, body: bytes) -> bool:
    """Whether it is answered; then as Python reads it."""
    logged = both.arena.bridge_log.stat().st_size
    answer = both.gateway([("Content-Type", "application/json")], body, PREDICT)
    assert "Traceback" not in both.arena.bridge_log.read_text()[logged:], body[:200]
    if answer.status != 200:
        assert answer.status in REFUSALS, (body[:200], answer)
        assert answer.error, answer
        return False
    rows = json.loads(body)["instances"]
    sums = [prediction["sum"] for prediction in json.loads(answer.body)["predictions"]]
    with np.errstate(over="ignore"):
        expected = [[float(np.float32(sum(row["numbers"])))] for row in rows]
    assert json.dumps(sums) == json.dumps(expected), body[:200]
    return True


@pytest.mark.parametrize("wrapped", bodies.WRAPPED)
def test_an_encoding_of_v1(both: Both, wrapped: str) -> None:
    check(both, bodies.WRAPPED[wrapped](V1))


@pytest.mark.parametrize("value", bodies.VALUES, ids=range(len(bodies.VALUES)))
def test_a_number_of_v1(both: Both, value: str) -> None:
    check(both, V1.replace(b"[1, 2]", f"[{value}, 2]".encode()))
    check(both, V1.replace(b"{", f'{{"x": {value}, '.encode(), 1))


@pytest.mark.parametrize("text", bodies.TEXTS, ids=range(len(bodies.TEXTS)))
def test_a_text_of_v1(both: Both, text: bytes) -> None:
    check(both, V1.replace(b'"a"', text))
    check(both, V1.replace(b"{", b"{" + text + b": 1, ", 1))


@pytest.mark.parametrize("name", bodies.NAMES, ids=range(len(bodies.NAMES)))
def test_a_name_of_v1(both: Both, name: bytes) -> None:
    check(both, V1.replace(b'"instances"', name.replace(b"inputs", b"instances")))


@pytest.mark.parametrize("depth", [1, 31, 32, 33, 64, 1000, 100_000])
def test_a_nesting_of_v1(both: Both, depth: int) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        assert not check(both, V1.replace(b"[1, 2]", opening * depth + b"1" + closing * depth))
        check(both, V1.replace(b"{", b'{"x": ' + opening * depth + b"1" + closing * depth + b", ", 1))


ROWS = field(1, b"rows")
NAMES = names(b"rows")
METHODS: dict[str, tuple[str, Any, Any]] = {
    "ModelMetadata": (V2, pb.ModelMetadataRequest, pb.ModelMetadataResponse),
    "ModelReady": (V2, pb.ModelReadyRequest, pb.ModelReadyResponse),
    "Predict": (TF, tfserving.PredictRequest, tfserving.PredictResponse),
    "GetModelMetadata": (TF, tfserving.GetModelMetadataRequest, tfserving.GetModelMetadataResponse),
}


@pytest.mark.parametrize("spelling", NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_a_name_in_a_message(both: Both, channel: grpc.Channel, method: str, spelling: str) -> None:
    """Answered is only what names this very service to a parser of protobuf, and the answer says so."""
    path, request, response = METHODS[method]
    message = NAMES[spelling] if path == V2 else field(1, NAMES[spelling])
    if method == "GetModelMetadata":
        message += field(2, b"signature_def")
    if method == "Predict":
        message += tensors()
    call = channel.unary_unary(path + method, response_deserializer=response.FromString)
    try:
        answer = call(message, metadata=(("x-api-key", KEY),), timeout=20)
    except grpc.RpcError as error:
        assert error.code().name in ("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "UNIMPLEMENTED"), error
        assert error.details()
        return
    read = request.FromString(message)
    assert (read.name if path == V2 else read.model_spec.name) == "rows"
    if method != "ModelReady":
        assert (answer.name if path == V2 else answer.model_spec.name) == "rows"


def tensors() -> bytes:
    request = tfserving.PredictRequest()
    numbers, text = request.inputs["numbers"], request.inputs["text"]
    numbers.dtype, text.dtype = 1, 7
    for tensor, sizes in ((numbers, (1, 2)), (text, (1, 1))):
        for size in sizes:
            tensor.tensor_shape.dim.add(size=size)
    numbers.float_val.extend([1, 2])
    text.string_val.append(b"a")
    serialized: bytes = request.SerializeToString()
    return serialized


@pytest.mark.parametrize(
    "sizes", [(2**40, 2), (2**62, 4), (2**63 - 1, 2), (-1, 2), (1, -1), (0, 2), (10**9, 2), (2**32 + 1, 2)]
)
def test_a_shape_of_tensorflow(both: Both, channel: grpc.Channel, sizes: tuple[int, int]) -> None:
    """There one value may stand for all: the bridge bounds what it would write."""
    request = tfserving.PredictRequest.FromString(tensors())
    request.model_spec.name = "rows"
    del request.inputs["numbers"].tensor_shape.dim[:]
    for size in sizes:
        request.inputs["numbers"].tensor_shape.dim.add(size=size)
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(TF + "Predict")(request.SerializeToString(), metadata=(("x-api-key", KEY),), timeout=20)
    assert caught.value.code().name == "INVALID_ARGUMENT"


INT64 = {
    "none": b"",
    "zero": field(2, field(1, 0, VARINT)),
    "one": field(2, field(1, 1, VARINT)),
    "empty": field(2, b""),
    "two": field(2, field(1, 2, VARINT)),
    "wide": field(2, varint(8) + varint(1, 10)),
    "minus one": field(2, field(1, 2**64 - 1, VARINT)),
    "beyond 64 bits": field(2, varint(8) + varint(2**64 + 1)),
    "two, then one": field(2, field(1, 2, VARINT)) + field(2, field(1, 1, VARINT)),
    "one, then two": field(2, field(1, 1, VARINT) + field(1, 2, VARINT)),
    "a text": field(2, field(1, b"1")),
    "no message": field(2, 1, VARINT),
    "cut": field(2, b"\x08"),
    "a label": field(4, b"stable"),
    "one and a label": field(2, field(1, 1, VARINT)) + field(4, b"stable"),
}
SIGNATURES = {
    "none": b"",
    "the default": field(3, b"serving_default"),
    "another": field(3, b"other"),
    "empty": field(3, b""),
    "no UTF-8": field(3, b"\xff"),
    "twice": field(3, b"other") + field(3, b"serving_default"),
    "a number": field(3, 1, VARINT),
    "with a nul": field(3, b"serving_default\0"),
    "long": field(3, b"s" * 70_000),
    "in a group": groups(1, 3),
}


@pytest.mark.parametrize(
    ("version", "signature"),
    [*((version, "none") for version in INT64), *(("one", signature) for signature in SIGNATURES)],
)
def test_a_version_and_a_signature_of_tensorflow(
    both: Both, channel: grpc.Channel, version: str, signature: str
) -> None:
    """Answered is only what names a version that is there to a parser of protobuf, with the sum of what it reads."""
    message = field(1, ROWS + INT64[version] + SIGNATURES[signature]) + tensors()
    call = channel.unary_unary(TF + "Predict", response_deserializer=tfserving.PredictResponse.FromString)
    try:
        answer = call(message, metadata=(("x-api-key", KEY),), timeout=20)
    except grpc.RpcError as error:
        assert error.code().name in ("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "UNIMPLEMENTED"), error
        assert error.details()
        return
    read = tfserving.PredictRequest.FromString(message)
    assert read.model_spec.name == answer.model_spec.name == "rows"
    assert read.model_spec.version.value in (0, 1), version
    assert list(answer.outputs["sum"].float_val) == [sum(read.inputs["numbers"].float_val)]


def test_an_ordinary_call_is_answered(both: Both, channel: grpc.Channel) -> None:
    """Else nothing above would mean much."""
    assert check(both, V1)
    request = tfserving.PredictRequest.FromString(field(1, ROWS) + tensors())
    answer = channel.unary_unary(TF + "Predict")(
        request.SerializeToString(), metadata=(("x-api-key", KEY),), timeout=20
    )
    assert tfserving.PredictResponse.FromString(answer).model_spec.name == "rows"
    assert channel.unary_unary(V2 + "ModelInfer")(GOOD, metadata=(("x-api-key", KEY),), timeout=20)
