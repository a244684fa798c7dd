"""What an ONNX file says of itself, read without the onnx package, which the console does not have.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3); they cannot change.
Weights are skipped, so the size of the file does not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats.protobuf import Message, opened

OVERRIDABLE_IR: Final = 4
"""From this IR version on, an input may have a value in the file and still be replaced by a request."""
IR_VERSION, PRODUCER_NAME, PRODUCER_VERSION, MODEL_GRAPH, OPSET_IMPORT = 1, 2, 3, 7, 8
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_NODE, GRAPH_NAME, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_SPARSE = 1, 2, 5, 11, 12, 15
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_EXTERNAL, TENSOR_LOCATION = 1, 2, 8, 13, 14
EXTERNAL: Final = 1
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR: Final = 1
TYPE_KINDS: Final = {1: "tensor", 4: "sequence", 5: "map", 7: "opaque", 8: "sparse tensor", 9: "optional"}
ELEMENT, SHAPE, DIM, DIM_VALUE, DIM_NAME = 1, 2, 1, 1, 2

ELEMENTS: Final = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
}
"""onnx.TensorProto.DataType."""
DOMAINS: Final = (
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.preview.training",
    "ai.onnx.training",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.microsoft.experimental",
)
"""Operators that onnxruntime brings. Those of any other domain are in a library of somebody's."""
MOST_VALUES: Final = 10_000
MOST_RANK: Final = 64


@dataclass(frozen=True)
class Value:
    """One input or output. `element` is a number of ELEMENTS; in `shape` a text is a named free size, -1 an unnamed.

    0 is a size like any other: ONNX Runtime refuses data for an input that has one.
    """

    name: str
    kind: str = "tensor"
    element: int = 0
    shape: tuple[int | str, ...] | None = None
    """None when the file says none."""

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """With -1 for every free size."""
        return None if self.shape is None else tuple(-1 if isinstance(size, str) else size for size in self.shape)


@dataclass
class Graph:
    inputs: tuple[Value, ...] = ()
    """Those without a value in the file: every run needs them."""
    outputs: tuple[Value, ...] = ()
    defaults: tuple[Value, ...] = ()
    """Inputs with a value in the file, which a request may replace: ONNX Runtime's overridable initializers."""
    name: str = ""
    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    producer: str = ""
    nodes: int = 0
    parameters: int = 0
    """Numbers in the weights."""
    external: dict[str, int] = field(default_factory=dict)
    """Files of weights beside this one, as it spells them -> the bytes that each must have at least."""

    @property
    def foreign_domains(self) -> list[str]:
        return sorted(name for name in self.opsets if name not in DOMAINS)


def read(path: Path, budget: Budget | None = None) -> Graph:
    """Raises OSError and Unreadable."""
    with opened(path, budget or Budget(), "ONNX") as model:
        graph = Graph()
        seen = False
        for number, value, part in model:
            if number == MODEL_GRAPH:
                _graph(part, graph)
                seen = True
            elif number == OPSET_IMPORT and len(graph.opsets) < MOST_VALUES:
                graph.opsets[part.text(OPSET_DOMAIN)] = part.number(OPSET_VERSION)
            elif number == IR_VERSION:
                graph.ir_version = value
            elif number in (PRODUCER_NAME, PRODUCER_VERSION):
                graph.producer = f"{graph.producer} {part.as_text()}".strip()
        if not seen:
            raise Unreadable("it holds no graph")
        if graph.ir_version < OVERRIDABLE_IR:
            graph.defaults = ()  # constants, which old exporters had to list as inputs too
        return graph


def _graph(message: Message, graph: Graph) -> None:
    inputs: list[Value] = []
    outputs: list[Value] = []
    constants: set[str] = set()
    for number, _, part in message:
        if number in (GRAPH_INPUT, GRAPH_OUTPUT):
            into = inputs if number == GRAPH_INPUT else outputs
            if len(into) >= MOST_VALUES:
                raise Unreadable(f"it has more than {MOST_VALUES} inputs or outputs")
            into.append(_value(part))
        elif number == GRAPH_INITIALIZER:
            constants.add(_weight(part, graph))
        elif number == GRAPH_SPARSE:
            constants.add(_weight(part.inside(1) or part, graph))
        elif number == GRAPH_NODE:
            graph.nodes += 1
        elif number == GRAPH_NAME:
            graph.name = part.as_text()
    graph.inputs = tuple(value for value in inputs if value.name not in constants)
    graph.defaults = tuple(value for value in inputs if value.name in constants)
    graph.outputs = tuple(outputs)


def _weight(message: Message, graph: Graph) -> str:
    """Counts it, notes the file that it lies in, and gives its name."""
    name, dims, external, location = "", [], dict[str, str](), 0
    for number, value, part in message:
        if number == TENSOR_NAME:
            name = part.as_text()
        elif number == TENSOR_DIMS:
            dims += [value] if part.start == part.end else list(part.packed())
            if len(dims) > MOST_RANK:
                raise Unreadable(f"a weight has more than {MOST_RANK} dimensions")
        elif number == TENSOR_EXTERNAL:
            external[part.text(1)] = part.text(2)
        elif number == TENSOR_LOCATION:
            location = value
    graph.parameters += math.prod(dims)
    if location == EXTERNAL:
        file = external.get("location", "")
        end = _number(external.get("offset", "")) + _number(external.get("length", ""))
        graph.external[file] = max(graph.external.get(file, 0), end)
    return name


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _value(message: Message) -> Value:
    name, kind = message.text(VALUE_NAME), message.inside(VALUE_TYPE)
    if kind is None:
        return Value(name, "nothing")
    for number, _, part in kind:
        if number == TYPE_TENSOR:
            shape = part.inside(SHAPE)
            return Value(name, "tensor", part.number(ELEMENT), None if shape is None else _shape(shape))
        if number in TYPE_KINDS:
            return Value(name, TYPE_KINDS[number])
    return Value(name, "nothing")


def _shape(message: Message) -> tuple[int | str, ...]:
    sizes: list[int | str] = []
    for number, _, part in message:
        if number == DIM:
            size = part.number(DIM_VALUE, -1)
            sizes.append(size if 0 <= size < 1 << 63 else part.text(DIM_NAME) or -1)
            if len(sizes) > MOST_RANK:
                raise Unreadable(f"a tensor has more than {MOST_RANK} dimensions")
    return tuple(sizes)


def problems(path: Path, graph: Graph) -> list[str]:
    """What stands in the way of loading it: files of weights that are missing, short, or not beside it."""
    messages = []
    for file, size in sorted(graph.external.items()):
        parts = PurePosixPath(file).parts
        if not parts or file.startswith("/") or ".." in parts or "\\" in file or "\0" in file:
            messages.append(
                f"{path.name} keeps weights in {file!r}, which is not beside it: export it again with the data in its "
                "own folder."
            )
            continue
        weights_path = path.parent / file
        if not weights_path.is_file():
            messages.append(f"{path.name} keeps weights in {file}, which is missing: copy it into the same folder.")
        elif weights_path.stat().st_size < size:
            messages.append(
                f"{file} has {weights_path.stat().st_size} bytes, and {path.name} needs {size}: copy it again."
            )
    return messages
