"""Tensors as the V2 protocol writes them: JSON, raw little-endian bytes, the binary tensor extension. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import serialize_byte_tensor

from services.clients.inference.call import SHOWN_BODY, SHOWN_BYTES, SHOWN_VALUES, Input, Output, SequenceStep
from services.specs import Tensor

CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype -> field of an InferTensorContents. FP16 and BF16 have none."""
HALVES: Final = frozenset({"FP16", "BF16"})
"""Triton neither reads nor writes them as JSON."""


def raw_bytes(values: NDArray[Any]) -> bytes:
    """As the binary tensor extension and `raw_input_contents` want them."""
    if values.dtype.kind != "O":
        return values.tobytes()
    # tritonclient gives an array of one object for texts, and an empty one for none.
    serialized = serialize_byte_tensor(values)
    return b"" if serialized is None or serialized.size == 0 else bytes(serialized.item())


def fits_json(item: Input) -> bool:
    """JSON has neither 16-bit floats (in V2), nor NaN, nor bytes that are not text."""
    if item.datatype in HALVES:
        return False
    if item.datatype == "BYTES":
        return all(_is_text(value) for value in item.values.ravel())
    return item.values.dtype.kind != "f" or bool(np.isfinite(item.values).all())


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def plain(values: NDArray[Any]) -> list[Any]:
    """Flat Python values. Floats in their shortest form: 0.1, not 0.10000000149011612; BYTES as text."""
    flat = values.ravel()
    if flat.dtype.kind == "O":
        return [value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value for value in flat]
    if flat.dtype.kind in "biu" or flat.dtype == np.float64:
        return list(flat.tolist())
    return [float(str(value)) for value in flat]


def has_halves(outputs: Sequence[Tensor]) -> bool:
    return any(tensor.datatype in HALVES for tensor in outputs)


def json_request(
    inputs: Sequence[Input], outputs: Sequence[Tensor] = (), step: SequenceStep | None = None
) -> dict[str, Any]:
    """The body of a V2 REST inference. Of `outputs`, those that JSON cannot hold are asked for in binary.

    BYTES too, then: those that are no text would make the JSON beside the binary values unreadable.
    """
    body: dict[str, Any] = {
        "inputs": [
            {"name": item.name, "shape": list(item.shape), "datatype": item.datatype, "data": plain(item.values)}
            for item in inputs
        ]
    }
    if has_halves(outputs):
        body["outputs"] = [
            {"name": tensor.name, "parameters": {"binary_data": tensor.datatype in {*HALVES, "BYTES"}}}
            for tensor in outputs
        ]
    return body | ({"parameters": step.parameters()} if step else {})


def binary_header(inputs: Sequence[Input], sizes: Sequence[int], step: SequenceStep | None = None) -> bytes:
    """The JSON that precedes the raw bytes of the inputs; `sizes` in bytes. Outputs are asked for in binary, too."""
    rows = [
        {"name": i.name, "shape": list(i.shape), "datatype": i.datatype, "parameters": {"binary_data_size": size}}
        for i, size in zip(inputs, sizes, strict=True)
    ]
    parameters = {"binary_data_output": True, **(step.parameters() if step else {})}
    return json.dumps({"inputs": rows, "parameters": parameters}).encode()


def parameter_field(value: Any) -> str:
    """Field of an InferParameter."""
    return {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]


@dataclass
class Room:
    """How many bytes of values may still be shown."""

    left: int = SHOWN_BYTES

    def take(self, values: Sequence[Any]) -> list[Any]:
        """As many of the values as there is room for; a text that does not fit is cut."""
        taken: list[Any] = []
        for value in values:
            if self.left <= 0:
                break
            text = value if isinstance(value, str) else json.dumps(value)
            taken.append(value if len(text) <= self.left or not isinstance(value, str) else f"{value[: self.left]}…")
            self.left -= max(1, len(text))
        return taken


def output_of(name: str, datatype: str, values: NDArray[Any], room: Room | None = None) -> Output:
    """Cut to what is shown; NaN and infinities as text, since JSON has none."""
    flat = values.reshape(-1)
    first = (
        [value if np.isfinite(value) else str(value) for value in plain(flat[:SHOWN_VALUES])]
        if flat.dtype.kind not in "OSU"
        else plain(flat[:SHOWN_VALUES].astype(object))
    )
    shown = (room or Room()).take(first)
    return Output(name, datatype, tuple(int(size) for size in values.shape), shown, int(flat.size))


def cut(text: str) -> str:
    return text if len(text) <= SHOWN_BODY else f"{text[:SHOWN_BODY]}… ({len(text):,} characters in all)"
