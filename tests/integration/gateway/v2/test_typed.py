"""A ModelInfer with typed contents is answered with typed contents, byte for byte as protobuf writes them."""

from __future__ import annotations

import struct
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.integration.gateway.stage import Stage
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/inference.GRPCInferenceService/ModelInfer"
FIELDS = {
    "BOOL": ("bool_contents", np.bool_),
    "INT8": ("int_contents", np.int8),
    "INT16": ("int_contents", np.int16),
    "INT32": ("int_contents", np.int32),
    "INT64": ("int64_contents", np.int64),
    "UINT8": ("uint_contents", np.uint8),
    "UINT16": ("uint_contents", np.uint16),
    "UINT32": ("uint_contents", np.uint32),
    "UINT64": ("uint64_contents", np.uint64),
    "FP32": ("fp32_contents", np.float32),
    "FP64": ("fp64_contents", np.float64),
}


def values(datatype: str) -> Any:
    kind = FIELDS[datatype][1]
    if datatype == "BOOL":
        return np.array([True, False, True], kind)
    if datatype.startswith("FP"):
        return np.array([0, -0.0, 1.5, -2.25e-30, np.inf, np.nan, *np.linspace(-9, 9, 300)], kind)
    info = np.iinfo(kind)
    edges = [
        at
        for at in (-129, -128, -1, 0, 1, 127, 128, 16383, 16384, 2**31 - 1, 2**31, 2**32, 2**53 + 1)
        if info.min <= at <= info.max
    ]
    spread = np.random.default_rng(7).integers(info.min, info.max, 500, kind, endpoint=True)
    return np.concatenate([np.array([*edges, info.min, info.max], kind), spread])


def answer(*tensors: tuple[str, bytes], **more: Any) -> Any:
    """As Triton writes it: all tensors raw."""
    message = pb.ModelInferResponse(model_name="mnist", model_version="1", id="x", **more)
    message.parameters["a"].bool_param = False
    for index, (datatype, raw) in enumerate(tensors):
        output = message.outputs.add(name=f"o{index}", datatype=datatype, shape=[1, 3, 2**40])
        output.parameters["p"].int64_param = -5
        message.raw_output_contents.append(raw)
    return message


def request_for(response: Any, *, raw: bool = False, size: int = 1) -> bytes:
    request = pb.ModelInferRequest(model_name="mnist")
    request.parameters["answer"].bool_param = True
    tensor = request.inputs.add(name="a", datatype="BYTES", shape=[1])
    message = response if isinstance(response, bytes) else response.SerializeToString()
    if raw:
        request.raw_input_contents.extend([message, bytes(4 * size)])
    else:
        tensor.contents.bytes_contents.append(message)
    more = request.inputs.add(name="b", datatype="FP32", shape=[size])
    if not raw:
        more.contents.fp32_contents.extend([1.0] * size)
    return bytes(request.SerializeToString())


def got(stage: Stage, request: bytes) -> bytes:
    with stage.channel() as channel:
        sent = (("x-api-key", snapshots.TEAM),)
        call: Any = channel.unary_unary
        answered = call(INFER)(request, metadata=sent, timeout=20)
    return bytes(answered)


def in_kind(response: Any, *filled: tuple[str, Any]) -> bytes:
    expected = pb.ModelInferResponse()
    expected.CopyFrom(response)
    expected.ClearField("raw_output_contents")
    for output, (field, elements) in zip(expected.outputs, filled, strict=True):
        output.contents.SetInParent()
        getattr(output.contents, field).extend(elements)
    return bytes(expected.SerializeToString())


@pytest.mark.parametrize("datatype", FIELDS)
def test_numbers_of_every_type_come_typed(stage: Stage, datatype: str) -> None:
    numbers = values(datatype)
    response = answer((datatype, numbers.tobytes()))
    assert got(stage, request_for(response)) == in_kind(response, (FIELDS[datatype][0], numbers.tolist()))


def test_a_request_that_names_its_outputs_gets_them_raw_as_well(stage: Stage) -> None:
    """NVIDIA's examples send typed contents, name the outputs, and read raw ones; clients of KServe read typed ones."""
    response = answer(("INT32", struct.pack("<2i", -8, 5)), ("BYTES", struct.pack("<I", 1) + b"a"))
    request = pb.ModelInferRequest.FromString(request_for(response))
    request.outputs.add(name="o0")
    parsed = pb.ModelInferResponse.FromString(got(stage, bytes(request.SerializeToString())))
    assert list(parsed.raw_output_contents) == list(response.raw_output_contents)
    assert list(parsed.outputs[0].contents.int_contents) == [-8, 5]
    assert list(parsed.outputs[1].contents.bytes_contents) == [b"a"]


def test_several_outputs_strings_and_nothing_at_all(stage: Stage) -> None:
    strings = [b"", b"a", "\u00e9".encode(), b"\x00\xff" * 300]
    packed = b"".join(struct.pack("<I", len(each)) + each for each in strings)
    response = answer(("BYTES", packed), ("FP32", b""), ("INT64", struct.pack("<q", -7)), ("BYTES", b""))
    filled = [("bytes_contents", strings), ("fp32_contents", []), ("int64_contents", [-7]), ("bytes_contents", [])]
    assert got(stage, request_for(response)) == in_kind(response, *filled)


def test_a_request_of_any_size_is_seen_to_be_typed(stage: Stage) -> None:
    response = answer(("INT32", struct.pack("<i", -8)))
    for size in (1, 250, 2_000, 70_000, 1_000_000):
        assert got(stage, request_for(response, size=size)) == in_kind(response, ("int_contents", [-8]))


def many_raw(response: Any, count: int) -> bytes:
    request = pb.ModelInferRequest.FromString(request_for(response, raw=True))
    for index in range(count):
        request.inputs.add(name=f"input-{index}", datatype="FP32", shape=[1])
        request.raw_input_contents.append(bytes(4))
    return bytes(request.SerializeToString())


def test_raw_questions_have_raw_answers(stage: Stage) -> None:
    response = answer(("INT32", struct.pack("<i", -8)))
    for request in (
        request_for(response, raw=True),
        request_for(response, raw=True, size=1 << 20),
        many_raw(response, 3),
        many_raw(response, 500),
    ):
        assert got(stage, request) == response.SerializeToString()


LEFT = {
    "no typed field": answer(("FP16", bytes(2))),
    "one of two has none": answer(("FP32", bytes(4)), ("BF16", bytes(2))),
    "no such type": answer(("FP8", bytes(2))),
    "half a number": answer(("INT32", bytes(3))),
    "half a string": answer(("BYTES", b"\x05\x00\x00\x00abc")),
    "no tensors": answer(),
    "large": answer(("UINT8", bytes(range(256)) * 4096)),
    "one tensor too few": answer(("FP32", bytes(4)), raw_output_contents=[bytes(4)]),
    "typed already": pb.ModelInferResponse(
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name="o",
                datatype="FP32",
                contents=pb.InferTensorContents(fp32_contents=[1.0]),
            )
        ],
    ),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_typed_stays_as_it_is(stage: Stage, case: str) -> None:
    assert got(stage, request_for(LEFT[case])) == LEFT[case].SerializeToString()


@pytest.mark.parametrize("datatype", ["FP32", "INT8", "UINT8", "INT16", "INT64"])
def test_an_answer_of_nearly_a_mebibyte_is_rewritten(stage: Stage, datatype: str) -> None:
    kind = np.dtype(FIELDS[datatype][1])
    numbers = np.resize(values(datatype), (1_000_000 // kind.itemsize,))
    response = answer((datatype, numbers.tobytes()))
    assert got(stage, request_for(response)) == in_kind(response, (FIELDS[datatype][0], numbers.tolist()))


def test_an_error_is_passed_on(stage: Stage) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        got(stage, request_for(b"no message"))
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
