"""TensorFlow Serving's gRPC API to V2: Predict becomes an inference, GetModelMetadata the model's metadata.

A tensor's values arrive in one of a dozen fields, or as raw bytes; they go back in the field of their type, as
TensorFlow Serving sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from console.formats import varints
from services.bridge.errors import invalid
from services.bridge.protos import tfserving
from services.bridge.values.tensors import Array, Model, NamedTensor, Outputs, count
from services.clients.inference.values import DTYPES
from services.specs import Tensor

SIGNATURE: Final = "serving_default"
METHOD: Final = "tensorflow/serving/predict"
SIGNATURE_FIELD: Final = "signature_def"

DATATYPES: Final = {
    1: "FP32",
    2: "FP64",
    3: "INT32",
    4: "UINT8",
    5: "INT16",
    6: "INT8",
    7: "BYTES",
    9: "INT64",
    10: "BOOL",
    14: "BF16",
    17: "UINT16",
    19: "FP16",
    22: "UINT32",
    23: "UINT64",
}
"""TensorFlow's DataType -> V2. Complex, quantised and resource types have no V2 name."""
NUMBERS: Final = {datatype: number for number, datatype in DATATYPES.items()}
FIELDS: Final = {
    "FP32": "float_val",
    "FP64": "double_val",
    "INT32": "int_val",
    "UINT8": "int_val",
    "INT16": "int_val",
    "INT8": "int_val",
    "UINT16": "int_val",
    "BYTES": "string_val",
    "INT64": "int64_val",
    "BOOL": "bool_val",
    "BF16": "half_val",
    "FP16": "half_val",
    "UINT32": "uint32_val",
    "UINT64": "uint64_val",
}
_PACKED: Final = {"FP32": 5, "FP64": 6, "BOOL": 11}
"""Datatypes whose packed field is, byte for byte, the little-endian array: field numbers."""


def inputs_of(request: Any, largest: int) -> tuple[NamedTensor, ...]:
    """`largest`: bytes that one tensor may take; one value may stand for all, so a small message can ask for many.

    Which inputs a model requires is its server's to say. Raises BridgeError(INVALID) that names the tensor.
    """
    return tuple(_named(name, request.inputs[name], largest) for name in sorted(request.inputs))


def _named(name: str, tensor: Any, largest: int) -> NamedTensor:
    datatype = DATATYPES.get(tensor.dtype)
    if datatype is None:
        raise invalid(f"{name}: DataType {tensor.dtype} has no counterpart in the V2 protocol.")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"{name}: the shape of a value must be known.")
    dtype = DTYPES[datatype]
    if count(shape) * dtype.itemsize > largest:
        raise invalid(f"{name}: shape {list(shape)} of {datatype} is more than the {largest} bytes that are allowed.")
    if tensor.tensor_content:
        return NamedTensor(name, datatype, _raw(name, tensor.tensor_content, datatype, shape))
    return NamedTensor(name, datatype, _typed(name, tensor, datatype, shape, largest))


def _raw(name: str, content: bytes, datatype: str, shape: tuple[int, ...]) -> Array:
    if datatype == "BYTES":
        return _strings(name, content, count(shape)).reshape(shape)
    needed = count(shape) * DTYPES[datatype].itemsize
    if len(content) != needed:
        raise invalid(f"{name}: tensor_content has {len(content)} bytes, its shape and type need {needed}.")
    return np.frombuffer(content, DTYPES[datatype]).reshape(shape)


def _strings(name: str, content: bytes, number: int) -> Array:
    """TensorFlow's own form: the lengths of all as varints, then all bytes."""
    lengths, at = [], 0
    try:
        for _ in range(number):
            length, at = varints.decode(content, at, len(content), longest=5)
            lengths.append(length)
    except ValueError:
        at = len(content) + 1
    if at + sum(lengths) != len(content):
        raise invalid(f"{name}: tensor_content is no list of {number} strings.")
    values = np.empty(number, object)
    for i, length in enumerate(lengths):
        values[i], at = content[at : at + length], at + length
    return values


def _typed(name: str, tensor: Any, datatype: str, shape: tuple[int, ...], largest: int) -> Array:
    given, needed = getattr(tensor, FIELDS[datatype]), count(shape)
    if len(given) > needed:
        raise invalid(f"{name}: {FIELDS[datatype]} has {len(given)} values, shape {list(shape)} needs {needed}.")
    if datatype == "BYTES":
        return _texts(name, list(given), needed, largest).reshape(shape)
    dtype = DTYPES[datatype]
    try:
        halves = FIELDS[datatype] == "half_val"
        values = np.array(given, np.uint16).view(dtype) if halves else np.array(given, dtype)
    except (OverflowError, ValueError):
        raise invalid(f"{name}: a value does not fit {datatype}.") from None
    if len(values) < needed:  # the last one stands for missing ones; zero without any
        values = np.concatenate([values, np.full(needed - len(values), values[-1] if len(values) else 0, dtype)])
    return values.reshape(shape)


def _texts(name: str, given: list[bytes], needed: int, largest: int) -> Array:
    last = given[-1] if given else b""
    if (needed - len(given)) * (4 + len(last)) > largest:
        raise invalid(f"{name}: the strings take more than the {largest} bytes that are allowed.")
    values = np.empty(needed, object)
    values[:] = given + [last] * (needed - len(given))
    return values


def response(request: Any, outputs: Outputs) -> Any:
    """A PredictResponse that echoes the model's name and the signature, and says which version answered."""
    message = tfserving.PredictResponse()
    _echo(request, message.model_spec, outputs.version)
    for item in outputs.tensors:
        _write(item.values, item.datatype, message.outputs[item.name])
    return message


def _echo(request: Any, into: Any, version: str) -> None:
    into.name = request.model_spec.name
    into.signature_name = request.model_spec.signature_name or SIGNATURE
    if version.isdecimal():
        into.version.value = int(version)


def _write(values: Array, datatype: str, into: Any) -> None:
    into.dtype = NUMBERS[datatype]
    for size in values.shape:
        into.tensor_shape.dim.add(size=size)
    if datatype in _PACKED:
        raw = values.tobytes()
        into.MergeFromString(varints.encode(_PACKED[datatype] << 3 | 2) + varints.encode(len(raw)) + raw)
        return
    flat = values.ravel()
    if FIELDS[datatype] == "half_val":
        flat = flat.view(np.uint16)
    getattr(into, FIELDS[datatype]).extend(flat.tolist())


def metadata(request: Any, model: Model) -> Any:
    """A GetModelMetadataResponse with one signature, whatever its name in the request. Raises BridgeError(INVALID)."""
    fields = list(request.metadata_field)
    if fields != [SIGNATURE_FIELD]:
        raise invalid(f'metadata_field must be ["{SIGNATURE_FIELD}"]: there is no other metadata.')
    signatures = tfserving.SignatureDefMap()
    signature = signatures.signature_def[SIGNATURE]
    signature.method_name = METHOD
    for tensors, into in ((model.inputs, signature.inputs), (model.outputs, signature.outputs)):
        for tensor in tensors:
            _describe(tensor, into)
    message = tfserving.GetModelMetadataResponse()
    _echo(request, message.model_spec, model.version)
    message.model_spec.ClearField("signature_name")
    message.metadata[SIGNATURE_FIELD].Pack(signatures)
    return message


def _describe(tensor: Tensor, into: Mapping[str, Any]) -> None:
    info = into[tensor.name]
    info.name = f"{tensor.name}:0"
    info.dtype = NUMBERS.get(tensor.datatype, 0)
    for size in tensor.shape:
        info.tensor_shape.dim.add(size=size)
