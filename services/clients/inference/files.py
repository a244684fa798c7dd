"""Arrays out of uploaded files: JSON, NumPy's .npy, raw little-endian values. Reads bytes, opens nothing."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.clients.inference.values import (
    DTYPES,
    LARGEST_BYTES,
    BadValues,
    bytes_per_value,
    fits,
    from_json,
    of_request,
    parse_json,
    resolve_shape,
    shown,
)


def from_file(content: bytes, filename: str, name: str, datatype: str, model_shape: Sequence[int]) -> NDArray[Any]:
    """.json, .npy, or anything else as raw little-endian values (BYTES: the whole file is one value)."""
    suffix = filename.lower().rpartition(".")[2]
    if len(content) > 6 * LARGEST_BYTES:
        raise BadValues("file", "The file is too large for a test.")
    try:
        if suffix == "json":
            return from_json(of_request(parse_json(content), name), datatype, model_shape)
        if suffix == "npy":
            return _from_npy(content, datatype, model_shape)
        return _from_raw(content, datatype, model_shape)
    except BadValues as error:
        raise BadValues("file" if error.field == "data" else error.field, error.message) from None


def _from_npy(content: bytes, datatype: str, model_shape: Sequence[int]) -> NDArray[Any]:
    try:
        _check_npy_size(content)
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, TypeError, OverflowError, RecursionError, EOFError, OSError, MemoryError):
        raise BadValues("file", "This is no .npy file of plain numbers or texts. Write it with numpy.save.") from None
    dtype = DTYPES[datatype]
    if datatype == "BYTES":
        if array.dtype.kind not in "SU":
            raise BadValues("file", f"The file holds {array.dtype}, and {datatype} needs texts (numpy kind S or U).")
        texts = [value.encode() if isinstance(value, str) else bytes(value) for value in array.ravel().tolist()]
        array = np.array(texts, dtype=object).reshape(array.shape)
    elif not np.can_cast(array.dtype, dtype, "safe"):
        what = f"The file holds {array.dtype}, and {datatype} needs {dtype}."
        raise BadValues("file", f"{what} Save it with array.astype({dtype.name!r}).")
    shape = resolve_shape(model_shape, array.shape, array.size)
    fits(shape, array.size)
    return np.ascontiguousarray(array, dtype=dtype).reshape(shape)


def _check_npy_size(content: bytes) -> None:
    """numpy allocates what the header promises; a short file must not promise more than it has.

    Texts of no length take no bytes in the file, however many there are, and each becomes an object.
    """
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError("the header and the length differ")
    if not dtype.itemsize and math.prod(shape) > 0:
        raise ValueError("values without a size")


def _from_raw(content: bytes, datatype: str, model_shape: Sequence[int]) -> NDArray[Any]:
    if datatype == "BYTES":
        shape = resolve_shape(model_shape, None, 1)
        if math.prod(shape) != 1:
            raise BadValues("file", f"A file is one BYTES value, and shape {shown(shape)} needs {math.prod(shape)}.")
        array = np.empty(1, dtype=object)
        array[0] = content
        return array.reshape(shape)
    size = bytes_per_value(datatype)
    count, rest = divmod(len(content), size)
    shape = resolve_shape(model_shape, None, count)
    if rest or math.prod(shape) != count:
        needed = f"Shape {shown(shape)} of {datatype} needs {math.prod(shape) * size} bytes"
        raise BadValues("file", f"{needed}, the file has {len(content)}.")
    return np.frombuffer(content, DTYPES[datatype]).reshape(shape)
