"""Reads the inputs and outputs of an ONNX file without the onnx package, which the console does not have.

Walks the protobuf wire format over a memory map and skips what it does not need, so a file of gigabytes takes
milliseconds and no memory. Field numbers are those of onnx.proto3; they cannot change.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.frameworks.triton import datatypes
from services.specs import Tensor

MODEL_GRAPH: Final = 7
GRAPH_INITIALIZER: Final = 5
GRAPH_INPUT: Final = 11
GRAPH_OUTPUT: Final = 12
VALUE_NAME: Final = 1
VALUE_TYPE: Final = 2
TYPE_TENSOR: Final = 1
TENSOR_ELEMENT: Final = 1
TENSOR_SHAPE: Final = 2
SHAPE_DIM: Final = 1
DIM_VALUE: Final = 1
INITIALIZER_NAME: Final = 8

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5


class BadGraph(ValueError):
    """The file is not an ONNX model, or has values that Triton cannot carry."""


def read(path: Path) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inputs and outputs of the graph, -1 for a free dimension. Raises OSError and BadGraph."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise BadGraph("the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number, start, end in fields(data, 0, len(data)):
                if number == MODEL_GRAPH:
                    return graph(data, start, end)
    raise BadGraph("it holds no graph")


def graph(data: mmap.mmap, start: int, end: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    constants: set[str] = set()
    for number, first, last in fields(data, start, end):
        if number == GRAPH_INPUT:
            inputs.append(value(data, first, last))
        elif number == GRAPH_OUTPUT:
            outputs.append(value(data, first, last))
        elif number == GRAPH_INITIALIZER:
            constants.add(text(data, first, last, INITIALIZER_NAME))
    # Old exporters list the weights as inputs too: those have a value already, and nobody sends them.
    return tuple(tensor for tensor in inputs if tensor.name not in constants), tuple(outputs)


def value(data: mmap.mmap, start: int, end: int) -> Tensor:
    name = text(data, start, end, VALUE_NAME)
    tensor = inside(data, *inside(data, start, end, VALUE_TYPE), TYPE_TENSOR)
    if tensor == (0, 0):
        raise BadGraph(f"{name!r} is not a tensor (a sequence or a map): export the model with tensors only")
    element = next((first for number, first, _ in fields(data, *tensor) if number == TENSOR_ELEMENT), 0)
    if element not in datatypes.FROM_ONNX:
        raise BadGraph(f"{name!r} has a datatype that Triton does not know (ONNX number {element})")
    where = inside(data, *tensor, TENSOR_SHAPE)
    if where == (0, 0):
        raise BadGraph(f"{name!r} has no shape: fill in the inputs and outputs of the service")
    shape = tuple(
        dimension(data, first, last) for number, first, last in fields(data, *where) if number == SHAPE_DIM
    )
    return Tensor(name, datatypes.FROM_ONNX[element], shape)


def dimension(data: mmap.mmap, start: int, end: int) -> int:
    """A fixed size, or -1 for a named or unknown one. Zero is how some exporters write unknown."""
    size = next((first for number, first, _ in fields(data, start, end) if number == DIM_VALUE), 0)
    return size if 0 < size < 1 << 63 else -1


def inside(data: mmap.mmap, start: int, end: int, wanted: int) -> tuple[int, int]:
    return next(((first, last) for number, first, last in fields(data, start, end) if number == wanted), (0, 0))


def text(data: mmap.mmap, start: int, end: int, wanted: int) -> str:
    first, last = inside(data, start, end, wanted)
    return bytes(data[first:last]).decode("utf-8", "replace")


def fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of each field between `start` and `end`; a varint's value stands in for its start."""
    while start < end:
        tag, start = varint(data, start, end)
        kind = tag & 7
        if kind == VARINT:
            number, start = varint(data, start, end)
            yield tag >> 3, number, start
            continue
        length = {FIXED64: 8, FIXED32: 4}.get(kind, -1)
        if kind == BYTES:
            length, start = varint(data, start, end)
        if length < 0 or start + length > end:
            raise BadGraph("it is not an ONNX file, or is cut short")
        yield tag >> 3, start, start + length
        start += length


def varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while start < end and shift < 70:
        byte = data[start]
        start += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, start
        shift += 7
    raise BadGraph("it is not an ONNX file, or is cut short")
