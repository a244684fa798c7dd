from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from services.bridge.errors import BridgeError
from services.bridge.protos import tfserving
from services.bridge.translators import tfserving_v2
from services.bridge.values import tensors
from services.bridge.values.tensors import NamedTensor, Outputs
from services.clients.inference.values import DTYPES
from tests.services.bridge import recorded

LARGEST = 1 << 20


def request(dtype: int, shape: tuple[int, ...], **fields: Any) -> Any:
    message = tfserving.PredictRequest()
    message.model_spec.name = "rows"
    tensor = message.inputs["x"]
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return message


def read(dtype: int, shape: tuple[int, ...], **fields: Any) -> NamedTensor:
    (tensor,) = tfserving_v2.inputs_of(request(dtype, shape, **fields), LARGEST)
    return tensor


def refusal(dtype: int, shape: tuple[int, ...], **fields: Any) -> str:
    with pytest.raises(BridgeError) as caught:
        read(dtype, shape, **fields)
    assert caught.value.kind.grpc.name == "INVALID_ARGUMENT"
    return caught.value.message


@pytest.mark.parametrize(
    ("dtype", "datatype", "fields"),
    [
        (1, "FP32", {"float_val": [1.0, 2.0]}),
        (2, "FP64", {"double_val": [1.0, 2.0]}),
        (3, "INT32", {"int_val": [1, 2]}),
        (4, "UINT8", {"int_val": [1, 2]}),
        (5, "INT16", {"int_val": [1, 2]}),
        (6, "INT8", {"int_val": [1, 2]}),
        (9, "INT64", {"int64_val": [1, 2]}),
        (14, "BF16", {"half_val": [0x3F80, 0x4000]}),
        (17, "UINT16", {"int_val": [1, 2]}),
        (19, "FP16", {"half_val": [0x3C00, 0x4000]}),
        (22, "UINT32", {"uint32_val": [1, 2]}),
        (23, "UINT64", {"uint64_val": [1, 2]}),
    ],
)
def test_numbers_are_read_from_their_field_and_from_raw_bytes(dtype: int, datatype: str, fields: Any) -> None:
    tensor = read(dtype, (1, 2), **fields)
    assert (tensor.datatype, tensor.values.shape, tensor.values.dtype) == (datatype, (1, 2), DTYPES[datatype])
    assert tensor.values.astype(float).tolist() == [[1.0, 2.0]]
    raw = read(dtype, (1, 2), tensor_content=tensor.values.tobytes())
    assert raw.values.tobytes() == tensor.values.tobytes()


def test_booleans_and_strings_are_read() -> None:
    assert read(10, (2,), bool_val=[True, False]).values.tolist() == [True, False]
    assert read(7, (2,), string_val=[b"a", b"\xff"]).values.tolist() == [b"a", b"\xff"]
    lengths = bytes([1]) + bytes([0xC8, 0x01])  # 1, and 200 as a varint
    assert read(7, (2,), tensor_content=lengths + b"a" + b"b" * 200).values.tolist() == [b"a", b"b" * 200]


def test_one_value_stands_for_all_and_none_for_zeros() -> None:
    assert read(1, (2, 2), float_val=[2.5]).values.tolist() == [[2.5, 2.5], [2.5, 2.5]]
    assert read(3, (3,), int_val=[1, 2]).values.tolist() == [1, 2, 2]
    assert read(3, (2,)).values.tolist() == [0, 0]
    assert read(7, (2,), string_val=[b"a"]).values.tolist() == [b"a", b"a"]
    assert read(1, (), float_val=[2.5]).values.tolist() == 2.5


@pytest.mark.parametrize(
    ("dtype", "shape", "fields", "sentence"),
    [
        (1, (2,), {"float_val": [1.0, 2.0, 3.0]}, "x: float_val has 3 values, shape [2] needs 2."),
        (1, (2,), {"tensor_content": b"abc"}, "x: tensor_content has 3 bytes, its shape and type need 8."),
        (4, (1,), {"int_val": [300]}, "x: a value does not fit UINT8."),
        (8, (1,), {}, "x: DataType 8 has no counterpart in the V2 protocol."),
        (0, (1,), {}, "x: DataType 0 has no counterpart"),
        (1, (-1,), {}, "x: the shape of a value must be known."),
        (1, (1 << 40,), {"float_val": [1.0]}, "more than the 1048576 bytes that are allowed"),
        (7, (100_000,), {"string_val": [b"x" * 100]}, "x: the strings take more than"),
        (7, (1,), {"tensor_content": b"\x05abc"}, "x: tensor_content is no list of 1 strings."),
        (7, (1,), {"tensor_content": b"\xff\xff\xff\xff\xff\xff"}, "x: tensor_content is no list of 1 strings."),
    ],
)
def test_what_does_not_fit_is_named(dtype: int, shape: tuple[int, ...], fields: Any, sentence: str) -> None:
    assert sentence in refusal(dtype, shape, **fields)


def test_a_recorded_answer_comes_back_in_the_fields_of_its_types_and_echoes_the_model() -> None:
    wire = recorded.load("triton-infer")
    predict_request = request(1, (1,), float_val=[1.0])
    response = tfserving_v2.response(predict_request, tensors.outputs_of(wire.body, wire.header_length))
    assert list(response.outputs["sum"].float_val) == [1.0, 5.0]
    assert list(response.outputs["upper"].string_val) == [b"TEXT", b"TEXT"]
    assert [dim.size for dim in response.outputs["sum"].tensor_shape.dim] == [2, 1]
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("rows", "serving_default", 1)


@pytest.mark.parametrize("datatype", sorted(tfserving_v2.NUMBERS))
def test_what_is_written_reads_back_the_same(datatype: str) -> None:
    values = np.array([b"a", b""], object) if datatype == "BYTES" else np.array([1, 0], DTYPES[datatype])
    answer = Outputs("", (NamedTensor("x", datatype, values),))
    response = tfserving_v2.response(tfserving.PredictRequest(), answer)
    back = tfserving.PredictRequest()
    back.inputs["x"].CopyFrom(tfserving.TensorProto.FromString(response.outputs["x"].SerializeToString()))
    (again,) = tfserving_v2.inputs_of(back, LARGEST)
    assert (again.datatype, again.values.tolist()) == (datatype, values.tolist())


def test_a_message_on_the_wire_has_the_public_field_numbers() -> None:
    encoded = request(1, (1,), float_val=[1.0]).SerializeToString()
    tensor = b"\x08\x01" + b"\x12\x04\x12\x02\x08\x01" + b"\x2a\x04" + struct.pack("<f", 1)
    entry = b"\x0a\x01x\x12" + bytes([len(tensor)]) + tensor
    assert encoded == b"\x0a\x06\x0a\x04rows" + b"\x12" + bytes([len(entry)]) + entry


def test_metadata_becomes_the_signature() -> None:
    metadata_request = tfserving.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata_request.model_spec.name = "rows"
    response = tfserving_v2.metadata(metadata_request, tensors.model_of(recorded.load("triton-metadata").body))
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signature = tfserving.SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    numbers = signature.inputs["numbers"]
    assert (numbers.name, numbers.dtype, [dim.size for dim in numbers.tensor_shape.dim]) == ("numbers:0", 1, [-1, 2])
    assert signature.outputs["upper"].dtype == 7


def test_other_metadata_is_refused() -> None:
    with pytest.raises(BridgeError, match="signature_def"):
        tfserving_v2.metadata(tfserving.GetModelMetadataRequest(), tensors.Model((), ()))
