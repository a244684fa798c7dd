"""The messages of TensorFlow Serving's Predict and GetModelMetadata, as far as they cross this bridge.

Built from the public field numbers instead of generated code. What is left out (variants, resources, sparse tensors,
classification) is skipped as protobuf skips fields that it does not know.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

SERVICE: Final = "tensorflow.serving.PredictionService"
FIELD = descriptor_pb2.FieldDescriptorProto
TYPES: Final = {
    "bool": FIELD.TYPE_BOOL,
    "bytes": FIELD.TYPE_BYTES,
    "double": FIELD.TYPE_DOUBLE,
    "float": FIELD.TYPE_FLOAT,
    "int32": FIELD.TYPE_INT32,
    "int64": FIELD.TYPE_INT64,
    "string": FIELD.TYPE_STRING,
    "uint32": FIELD.TYPE_UINT32,
    "uint64": FIELD.TYPE_UINT64,
}
_PACKED: Final = {"bool", "double", "float", "int32", "int64", "uint32", "uint64"}

# Message: (number, name, type), where the type may begin with "repeated " or be "map " to a message or scalar.
# DataType is an enumeration there; as a number on the wire it is the same as int32, and unknown values stay.
MESSAGES: Final[dict[str, list[tuple[int, str, str]]]] = {
    "tensorflow.TensorShapeProto": [
        (2, "dim", "repeated .tensorflow.TensorShapeDim"),
        (3, "unknown_rank", "bool"),
    ],
    "tensorflow.TensorShapeDim": [(1, "size", "int64"), (2, "name", "string")],
    "tensorflow.TensorProto": [
        (1, "dtype", "int32"),
        (2, "tensor_shape", ".tensorflow.TensorShapeProto"),
        (3, "version_number", "int32"),
        (4, "tensor_content", "bytes"),
        (5, "float_val", "repeated float"),
        (6, "double_val", "repeated double"),
        (7, "int_val", "repeated int32"),
        (8, "string_val", "repeated bytes"),
        (10, "int64_val", "repeated int64"),
        (11, "bool_val", "repeated bool"),
        (13, "half_val", "repeated int32"),
        (16, "uint32_val", "repeated uint32"),
        (17, "uint64_val", "repeated uint64"),
    ],
    "tensorflow.TensorInfo": [
        (1, "name", "string"),
        (2, "dtype", "int32"),
        (3, "tensor_shape", ".tensorflow.TensorShapeProto"),
    ],
    "tensorflow.SignatureDef": [
        (1, "inputs", "map .tensorflow.TensorInfo"),
        (2, "outputs", "map .tensorflow.TensorInfo"),
        (3, "method_name", "string"),
    ],
    "tensorflow.serving.SignatureDefMap": [(1, "signature_def", "map .tensorflow.SignatureDef")],
    "tensorflow.serving.ModelSpec": [
        (1, "name", "string"),
        (2, "version", ".google.protobuf.Int64Value"),
        (3, "signature_name", "string"),
        (4, "version_label", "string"),
    ],
    "tensorflow.serving.PredictRequest": [
        (1, "model_spec", ".tensorflow.serving.ModelSpec"),
        (2, "inputs", "map .tensorflow.TensorProto"),
        (3, "output_filter", "repeated string"),
    ],
    "tensorflow.serving.PredictResponse": [
        (1, "outputs", "map .tensorflow.TensorProto"),
        (2, "model_spec", ".tensorflow.serving.ModelSpec"),
    ],
    "tensorflow.serving.GetModelMetadataRequest": [
        (1, "model_spec", ".tensorflow.serving.ModelSpec"),
        (2, "metadata_field", "repeated string"),
    ],
    "tensorflow.serving.GetModelMetadataResponse": [
        (1, "model_spec", ".tensorflow.serving.ModelSpec"),
        (2, "metadata", "map .google.protobuf.Any"),
    ],
}


def _file(package: str, dependencies: list[str]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3", dependency=dependencies
    )
    for full, fields in MESSAGES.items():
        parent, _, name = full.rpartition(".")
        if parent == package:
            message = file.message_type.add(name=name)
            for number, field, kind in fields:
                _add(message, full, number, field, kind)
    return file


def _add(message: descriptor_pb2.DescriptorProto, full: str, number: int, name: str, kind: str) -> None:
    label, _, inner = kind.rpartition(" ")
    if label == "map":
        entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type=FIELD.TYPE_MESSAGE, type_name=inner, label=FIELD.LABEL_OPTIONAL)
        inner = f".{full}.{entry.name}"
    field = message.field.add(name=name, number=number, label=FIELD.LABEL_REPEATED if label else FIELD.LABEL_OPTIONAL)
    if inner.startswith("."):
        field.type, field.type_name = FIELD.TYPE_MESSAGE, inner
    else:
        field.type = TYPES[inner]
        if label and inner in _PACKED:
            field.options.packed = True


def _pool() -> descriptor_pool.DescriptorPool:
    """Apart from protobuf's own, so that a process which also has TensorFlow's generated code is not in conflict."""
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.Add(_file("tensorflow", []))
    google = ["google/protobuf/any.proto", "google/protobuf/wrappers.proto"]
    pool.Add(_file("tensorflow.serving", ["tensorflow.proto", *google]))
    return pool


_POOL = _pool()


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


TensorProto = _class("tensorflow.TensorProto")
SignatureDefMap = _class("tensorflow.serving.SignatureDefMap")
PredictRequest = _class("tensorflow.serving.PredictRequest")
PredictResponse = _class("tensorflow.serving.PredictResponse")
GetModelMetadataRequest = _class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = _class("tensorflow.serving.GetModelMetadataResponse")
