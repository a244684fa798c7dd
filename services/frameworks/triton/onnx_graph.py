"""The inputs and outputs of an ONNX file as Triton carries them; datasets/inspect/formats/onnx.py reads the file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import onnx
from services.frameworks.triton import datatypes
from services.specs import Tensor


class BadGraph(ValueError):
    """The file is not an ONNX model, or has values that Triton cannot carry."""


def load(path: Path) -> onnx.Graph:
    """Raises OSError and BadGraph."""
    try:
        return onnx.read(path)
    except Unreadable as error:
        raise BadGraph(str(error)) from error


def tensors(values: Iterable[onnx.Value]) -> tuple[Tensor, ...]:
    """-1 for a free dimension. Raises BadGraph for what Triton cannot carry."""
    return tuple(map(_tensor, values))


def _tensor(value: onnx.Value) -> Tensor:
    name = value.name
    if value.kind != "tensor":
        raise BadGraph(f"{name!r} is not a tensor (a sequence or a map): export the model with tensors only")
    if value.element not in datatypes.FROM_ONNX:
        raise BadGraph(f"{name!r} has a datatype that Triton does not know (ONNX number {value.element})")
    if value.sizes is None:
        raise BadGraph(f"{name!r} has no shape: fill in the inputs and outputs of the service")
    return Tensor(name, datatypes.FROM_ONNX[value.element], value.sizes)
