"""The V2 names of datatypes (FP32, BYTES) and what config.pbtxt and ONNX call the same."""

from __future__ import annotations

from typing import Final

V2: Final = (
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
    "BF16",
)
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
