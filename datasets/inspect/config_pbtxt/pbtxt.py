"""config.pbtxt as the real ModelConfig protobuf, with errors that say where and what to do."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from console.formats.text import decode
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats.onnx import Graph

NAME: Final = "config.pbtxt"
MOST_BYTES: Final = 1 << 20
ModelConfig = Any
"""tritonclient ships no types: an inference.ModelConfig message."""
PLATFORMS: Final = {
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorrt_plan": "tensorrt",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
    "ensemble": "ensemble",
}
"""The older `platform` names -> backend."""
TYPES: Final = {
    1: "TYPE_FP32",
    2: "TYPE_UINT8",
    3: "TYPE_INT8",
    4: "TYPE_UINT16",
    5: "TYPE_INT16",
    6: "TYPE_INT32",
    7: "TYPE_INT64",
    8: "TYPE_STRING",
    9: "TYPE_BOOL",
    10: "TYPE_FP16",
    11: "TYPE_FP64",
    12: "TYPE_UINT32",
    13: "TYPE_UINT64",
    16: "TYPE_BF16",
}
"""onnx.TensorProto.DataType -> what config.pbtxt calls it; the others Triton cannot carry."""
BATCH_NAMES: Final = frozenset({"batch", "batch_size", "batchsize", "batch_dim", "n", "b", "bs", "none"})
"""What exporters call the first axis when it is that of a batch."""
_UNKNOWN_FIELD: Final = re.compile(r'Message type "inference\.([\w.]+)" (?:has no field named|should not have) "(\w+)"')


def read(folder: Path) -> str:
    """The text of the folder's config.pbtxt, "" without one. Raises OSError and Unreadable."""
    path = folder / NAME
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return text_of(file.read(MOST_BYTES + 1))


def text_of(content: bytes) -> str:
    """Raises Unreadable."""
    if len(content) > MOST_BYTES:
        raise Unreadable("config.pbtxt is larger than 1 MiB: that is not a model configuration")
    try:
        return decode(content)
    except UnicodeDecodeError as error:
        raise Unreadable("config.pbtxt is not UTF-8 text") from error


def parse(text: str) -> ModelConfig:
    """Raises Unreadable with line and column."""
    message = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        line, column = error.GetLine(), error.GetColumn()
        where = f"line {line}, column {column}" if line else "an unknown line"
        detail = str(error).removeprefix(f"{line}:{column} : ").rstrip(".")
        raise Unreadable(f"config.pbtxt is broken at {where}: {detail}{_meant(detail)}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise Unreadable(f"config.pbtxt is broken: {error}") from error
    return message


def _meant(detail: str) -> str:
    """For a field that there is not: the one that was meant."""
    match = _UNKNOWN_FIELD.search(detail)
    if match is None:
        return ""
    fields = _fields_of(match[1])
    close = difflib.get_close_matches(match[2], fields, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _fields_of(message: str) -> list[str]:
    descriptor: Any = model_config_pb2.DESCRIPTOR
    for part in message.split("."):
        types = (
            descriptor.message_types_by_name
            if hasattr(descriptor, "message_types_by_name")
            else (descriptor.nested_types_by_name)
        )
        if part not in types:
            return []
        descriptor = types[part]
    return [field.name for field in descriptor.fields]


def backend(config: ModelConfig) -> str:
    return str(config.backend) or PLATFORMS.get(config.platform, str(config.platform))


def type_name(tensor: Any) -> str:
    return enum_name(model_config_pb2.DataType, tensor.data_type)


def enum_name(enum: Any, number: int) -> str:
    """The number itself where the enum has no name for it, which the text format allows."""
    return str(enum.Name(number)) if number in enum.values() else str(number)


def type_number(name: str) -> int:
    return int(model_config_pb2.DataType.Value(name))


def batches(graph: Graph) -> bool:
    """Whether the first axis of every input and output looks like that of a batch: free, and called so."""
    values = (*graph.inputs, *graph.outputs)
    return bool(values) and all(
        value.shape and isinstance(value.shape[0], str) and value.shape[0].lower() in BATCH_NAMES for value in values
    )


def dims_of(tensor: Any) -> list[int]:
    """As the model gets them, without the batch."""
    return list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)


def fits(config: list[int], model: list[int], *, scalar: bool = False, exact: bool = False) -> bool:
    """Whether Triton's ONNX Runtime backend takes these dims (CompareDimsSupported in onnxruntime_utils.cc).

    `model`: without the batch; `scalar`: the model has no axes at all, which any number of ones stand for; `exact`: of
    an output, whose free sizes must be free in config.pbtxt too.
    """
    if scalar:
        return all(size == 1 for size in config)
    return len(config) == len(model) and all(
        have == configured or (have == -1 and not exact) for configured, have in zip(config, model, strict=True)
    )
