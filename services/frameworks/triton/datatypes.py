"""The V2 names of datatypes (FP32, BYTES) and what config.pbtxt and ONNX call the same."""

from __future__ import annotations

from typing import Final

from datasets.inspect.config_pbtxt import pbtxt
from services.clients.inference.datatypes import DTYPES

V2: Final = tuple(DTYPES)
TO_CONFIG: Final = {name: "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}" for name in V2}
FROM_CONFIG: Final = {config: name for name, config in TO_CONFIG.items()}
FROM_ONNX: Final = {number: FROM_CONFIG[name] for number, name in pbtxt.TYPES.items()}
"""onnx.TensorProto.DataType -> V2."""
