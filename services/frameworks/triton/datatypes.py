"""The V2 names of datatypes (FP32, BYTES) and what config.pbtxt and ONNX call the same."""

from __future__ import annotations

from typing import Final

from services.clients.inference.datatypes import DTYPES

V2: Final = tuple(DTYPES)
TO_CONFIG: Final = {name: "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}" for name in V2}
FROM_CONFIG: Final = {config: name for name, config in TO_CONFIG.items()}
FROM_ONNX: Final = {
    1: "FP32",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "BYTES",
    9: "BOOL",
    10: "FP16",
    11: "FP64",
    12: "UINT32",
    13: "UINT64",
    16: "BF16",
}
"""onnx.TensorProto.DataType -> V2."""
