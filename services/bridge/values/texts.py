"""Text in V2 tensors: as code points, as UTF-8 bytes, as values of a field or as raw bytes. Pure.

What a question came in is an `Encoding`; its answer goes back in the same.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from services.bridge.errors import BridgeError, invalid
from services.bridge.values.tensors import count

CODE_POINTS: Final = {
    "int_contents": "INT32",
    "int64_contents": "INT64",
    "uint_contents": "UINT32",
    "uint64_contents": "UINT64",
}
"""Field -> the datatype of a tensor that names none."""
WIDTHS: Final = {"INT32": "<i4", "INT64": "<i8", "UINT32": "<u4", "UINT64": "<u8"}
BYTE_WIDE: Final = ("UINT8", "INT8")
NUMBERS: Final = (*WIDTHS, *BYTE_WIDE, "INT16", "UINT16")
"""What a tensor in a field of numbers may say that it is; the answer says the same."""
LARGEST_CODE_POINT: Final = 0x10FFFF


@dataclass(frozen=True)
class Encoding:
    """`field`: of InferTensorContents, or "raw". `prefixed`: raw bytes with their length in four bytes before them."""

    field: str
    datatype: str
    rank: int = 1
    prefixed: bool = True


def read(tensor: Any, raw: bytes | None) -> tuple[str, Encoding]:
    """The one text in an InferInputTensor; `raw`: its raw_input_contents. Raises BridgeError(INVALID)."""
    try:
        if raw is not None:
            text, encoding = _from_raw(tensor, raw)
            number = 1 if encoding.datatype == "BYTES" else len(raw) // _width(encoding.datatype)
        else:
            text, encoding, number = _from_contents(tensor)
    except UnicodeDecodeError:
        raise invalid(f"{tensor.name} is not UTF-8.") from None
    if tensor.shape and count(tensor.shape) != number:
        raise invalid(f"{tensor.name} has shape {list(tensor.shape)} and {number} values.")
    return text, encoding


def _from_contents(tensor: Any) -> tuple[str, Encoding, int]:
    rank = len(tensor.shape) or 1
    given = [field.name for field, _ in tensor.contents.ListFields()]
    if len(given) != 1:
        raise invalid(f"{tensor.name} must have its values in one field of its contents, or in raw_input_contents.")
    field = given[0]
    values = getattr(tensor.contents, field)
    if field == "bytes_contents":
        if len(values) != 1:
            raise invalid(f"{tensor.name} has {len(values)} texts; send one in a request.")
        return values[0].decode(), Encoding(field, tensor.datatype or "BYTES", rank), 1
    if field not in CODE_POINTS:
        raise invalid(f"{tensor.name} cannot be text in {field}: use int_contents (code points) or bytes_contents.")
    if tensor.datatype and tensor.datatype not in NUMBERS:
        raise invalid(f"{tensor.name} cannot be {tensor.datatype} in {field}: use INT32, or no datatype.")
    encoding = Encoding(field, tensor.datatype or CODE_POINTS[field], rank)
    if encoding.datatype in BYTE_WIDE:
        if not all(-128 <= value <= 255 for value in values):
            raise _no_text(tensor.name)
        return bytes(value & 255 for value in values).decode(), encoding, len(values)
    return _of_code_points(tensor.name, list(values)), encoding, len(values)


def _from_raw(tensor: Any, raw: bytes) -> tuple[str, Encoding]:
    rank = len(tensor.shape) or 1
    datatype = tensor.datatype or "BYTES"
    if datatype == "BYTES":
        prefixed = len(raw) >= 4 and struct.unpack_from("<I", raw)[0] == len(raw) - 4
        if not prefixed and tensor.datatype:
            raise invalid(f"{tensor.name} must be one text: its length in four bytes, then its bytes.")
        return (raw[4:] if prefixed else raw).decode(), Encoding("raw", datatype, rank, prefixed)
    if datatype in BYTE_WIDE:
        return raw.decode(), Encoding("raw", datatype, rank)
    if datatype not in WIDTHS or len(raw) % _width(datatype):
        raise invalid(f"{tensor.name} cannot be text in {datatype}: use BYTES, UINT8, INT32 or INT64.")
    return _of_code_points(tensor.name, np.frombuffer(raw, WIDTHS[datatype]).tolist()), Encoding("raw", datatype, rank)


def _width(datatype: str) -> int:
    return np.dtype(WIDTHS[datatype]).itemsize if datatype in WIDTHS else 1


def _of_code_points(name: str, values: Sequence[int]) -> str:
    # Surrogates are halves of a character in another encoding, and no text.
    if not all(0 <= value <= LARGEST_CODE_POINT and not 0xD800 <= value <= 0xDFFF for value in values):
        raise _no_text(name)
    return "".join(map(chr, values))


def _no_text(name: str) -> BridgeError:
    return invalid(f"{name} holds a number that is no Unicode code point.")


def write(text: str, encoding: Encoding, response: Any, name: str) -> None:
    """Adds the output `name` to a ModelInferResponse."""
    points = encoding.datatype != "BYTES" and encoding.field != "bytes_contents"
    values = list(text.encode() if encoding.datatype in BYTE_WIDE else map(ord, text)) if points else []
    output = response.outputs.add(name=name, datatype=encoding.datatype)
    output.shape.extend([1] * (encoding.rank - 1) + [len(values) if points else 1])
    if encoding.field != "raw":
        if encoding.datatype == "INT8":
            values = [value - 256 if value > 127 else value for value in values]
        getattr(output.contents, encoding.field).extend(values if points else [text.encode()])
    elif not points:
        content = text.encode()
        response.raw_output_contents.append(struct.pack("<I", len(content)) + content if encoding.prefixed else content)
    elif encoding.datatype in BYTE_WIDE:
        response.raw_output_contents.append(bytes(values))
    else:
        response.raw_output_contents.append(np.array(values, WIDTHS[encoding.datatype]).tobytes())
