"""Tensors in the V2 protocol's binary extension: requests out, answers in. Pure, and copies no values but once.

A BYTES tensor is an object array of `bytes`; BF16 is ml_dtypes' own type.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import deserialize_bytes_tensor

from services.bridge.errors import BridgeError, Kind
from services.clients.inference.values import DTYPES
from services.clients.inference.wire import raw_bytes
from services.specs import Tensor

Array = NDArray[Any]
HEADER_LENGTH = "Inference-Header-Content-Length"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class NamedTensor:
    """One tensor with its values; `datatype` is the V2 name."""

    name: str
    datatype: str
    values: Array


@dataclass(frozen=True)
class Body:
    """Body of a V2 inference request or answer. Its first `header_length` bytes are JSON, raw tensors follow."""

    content: bytes
    header_length: int


@dataclass(frozen=True)
class Outputs:
    version: str
    """Version of the model that answered."""
    tensors: tuple[NamedTensor, ...]


@dataclass(frozen=True)
class Model:
    """What a backend says of its model: names, datatypes and shapes (-1 is free)."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    version: str = "1"


def model_of(content: bytes) -> Model:
    """Parse the answer to GET /v2/models/{name}. Raises BridgeError for any other content."""
    try:
        data = json.loads(content)
        inputs, outputs = (
            tuple(Tensor(row["name"], row["datatype"], tuple(int(size) for size in row["shape"])) for row in data[side])
            for side in ("inputs", "outputs")
        )
        return Model(inputs, outputs, str((data.get("versions") or ["1"])[-1]))
    except (ValueError, KeyError, TypeError):
        raise _not_understood() from None


def request(inputs: Sequence[NamedTensor], outputs: Sequence[str] = (), request_id: str = "") -> Body:
    """`outputs`: names of the outputs to return; all when empty."""
    raws = [raw_bytes(item.values) for item in inputs]
    head: dict[str, Any] = {
        "inputs": [
            {
                "name": item.name,
                "shape": item.values.shape,
                "datatype": item.datatype,
                "parameters": {"binary_data_size": len(raw)},
            }
            for item, raw in zip(inputs, raws, strict=True)
        ],
        "parameters": {"binary_data_output": True},
    }
    if outputs:
        head["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    if request_id:
        head["id"] = request_id
    header = json.dumps(head).encode()
    return Body(b"".join((header, *raws)), len(header))


def outputs_of(content: bytes, header_length: int | None) -> Outputs:
    """Read a backend's answer. Tensors may be raw or in the JSON. Raises BridgeError."""
    end = len(content) if header_length is None else header_length
    try:
        data = json.loads(content[:end])
        tensors = []
        for row in data["outputs"]:
            size = row.get("parameters", {}).get("binary_data_size")
            raw = None if size is None else memoryview(content)[end : end + size]
            tensors.append(NamedTensor(row["name"], row["datatype"], _values(row, raw)))
            end += size or 0
        return Outputs(str(data.get("model_version", "")), tuple(tensors))
    except (ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise _not_understood() from None


def _values(row: dict[str, Any], raw: memoryview | None) -> Array:
    shape = tuple(int(size) for size in row["shape"])
    datatype = row["datatype"]
    if raw is None:
        flat = np.array([_encoded(value) for value in row["data"]], DTYPES[datatype])
    elif datatype == "BYTES":
        flat = deserialize_bytes_tensor(raw) if len(raw) else np.empty(0, object)
    else:
        flat = np.frombuffer(raw, DTYPES[datatype])
    return flat.reshape(shape)


def _encoded(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def count(shape: Sequence[int]) -> int:
    return math.prod(shape)


def _not_understood() -> BridgeError:
    return BridgeError(Kind.BAD_ANSWER, "The model's answer does not follow the V2 protocol.")
