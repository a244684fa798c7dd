"""One row of config.pbtxt beside the model: the verdicts, and how each side writes a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.formats.onnx import ELEMENTS, Value

SAME, LEFT_OUT, DIFFERS, WRONG = "same", "left_out", "differs", "wrong"
NOTHING: Final = "-"
MOST_LISTED: Final = 20


def config_text(tensor: Any, batch: int) -> str:
    dims = ", ".join(map(str, tensor.dims))
    reshape = f" as [{', '.join(map(str, tensor.reshape.shape))}]" if tensor.HasField("reshape") else ""
    return f"{pbtxt.type_name(tensor)} [{dims}]{reshape}{' and the batch' if batch else ''}"


def text_of(value: Value) -> str:
    if value.kind != "tensor":
        return f"a {value.kind}"
    shape = "of any shape" if value.shape is None else f"[{', '.join(map(str, value.shape))}]"
    return f"{pbtxt.TYPES.get(value.element) or ELEMENTS.get(value.element, f'type {value.element}')} {shape}"


def listed(names: Sequence[str]) -> str:
    """For messages; of very many the first ones."""
    return (", ".join(names[:MOST_LISTED]) + (", …" if len(names) > MOST_LISTED else "")) or "none"
