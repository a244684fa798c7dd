"""The datatypes of V2 and what their values are in Python, for clients and the bridge.

BYTES are object arrays of `bytes`; BF16, which numpy does not have, is the dtype that tritonclient takes (ml_dtypes).
"""

from __future__ import annotations

import json
from typing import Any, Final

import ml_dtypes
import numpy as np

from console.errors import ConsoleError

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}
KINDS: Final[dict[str, tuple[str, set[type]]]] = {
    "b": ("true or false", {bool}),
    "i": ("a whole number", {int}),
    "u": ("a whole number", {int}),
}
FLOAT: Final[tuple[str, set[type]]] = ("a number", {int, float})


class BadValues(ConsoleError):
    """`field`: which part of an input is wrong: data, shape, datatype, generate or file."""

    code = "invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def bytes_per_value(datatype: str) -> int:
    """Raw bytes of one value; BYTES: of an empty one, which is only its length."""
    return 4 if datatype == "BYTES" else DTYPES[datatype].itemsize


def quoted(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
