"""ONNX models: inputs that Triton fills or callers leave out, outputs that are not named. What only Triton sees of them
is in tests/integration/triton/test_onnx_roles.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from tests.corpus.case import Case, Request, Write, array
from tests.corpus.folders import IDLE, files
from tests.corpus.scheduling import SEQUENCES
from tests.services.frameworks.triton.onnx_files import field, tensor

Node = tuple[str, str, str]
"""Operator, inputs and outputs, the names with blanks between."""
Shapes = Mapping[str, tuple[int | str, ...]]
ELEMENTS = {"FP32": 1, "INT32": 6, "UINT64": 13, "BF16": 16}
IO = """input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
ROW = ("n", 1)


def _values(kind: int, shapes: Shapes) -> bytes:
    """Names are with their datatype, FP32 where they have none: "ID UINT64"."""
    fields = b""
    for label, shape in shapes.items():
        name, _, datatype = label.partition(" ")
        fields += field(kind, tensor(name, ELEMENTS[datatype or "FP32"], list(shape)))
    return fields


def _node(operator: str, reads: str, writes: str) -> bytes:
    names = [field(1, name) for name in reads.split()] + [field(2, name) for name in writes.split()]
    return field(1, b"".join(names) + field(4, operator))


def graph(
    nodes: Sequence[Node], inputs: Shapes, outputs: Shapes, constants: Mapping[str, bytes] | None = None
) -> bytes:
    """`constants`: name -> TensorProto without the name."""
    body = b"".join(_node(*node) for node in nodes) + field(2, "graph")
    body += b"".join(field(5, value + field(8, name)) for name, value in (constants or {}).items())
    body += _values(11, inputs) + _values(12, outputs)
    return field(1, 8) + field(2, "test") + field(7, body) + field(8, field(2, 17))


def numbers(*values: float, dims: Sequence[int] = ()) -> bytes:
    return b"".join(field(1, size) for size in dims or (len(values),)) + field(2, 1) + field(9, array(values).tobytes())


def onnx(config: str, model: bytes, others: Mapping[str, str | bytes] | None = None) -> Write:
    return files({"config.pbtxt": f'backend: "onnxruntime"\n{config}', "1/model.onnx": model, **(others or {})})


SUMS = graph([("Add", "IN S", "T"), ("Identity", "T", "OUT")], {"IN": ROW, "S": ROW}, {"OUT": ROW, "T": ROW})
STATE = 'state { input_name: "S" output_name: "T" data_type: TYPE_FP32 dims: 1 }'


def _state() -> Case:
    """A sum that Triton keeps."""
    steps = [Request({"IN": array([[step]])}, [{"OUT": array([[total]])}]) for step, total in ((3, 3), (4, 7), (5, 12))]
    config = f"max_batch_size: 4\n{IO}sequence_batching {{ {IDLE} direct {{ }} {STATE} }}\n"
    return Case(
        "onnx-state",
        onnx(config, SUMS),
        [replace(steps[0], start=True), steps[1], replace(steps[2], end=True)],
        inputs=["IN FP32 [1]"],
        notes=[SEQUENCES],
        stateful=True,
        has_v1=False,
    )


BIAS = graph([("Add", "IN BIAS", "OUT")], {"IN": ("n",), "BIAS": (1,)}, {"OUT": ("n",)}, {"BIAS": numbers(7)})
FREE = IO.replace("[ 1 ]", "[ -1 ]")
OPTIONAL = FREE + 'input { name: "BIAS" data_type: TYPE_FP32 dims: [ 1 ] optional: true }\n'
LOSS = graph([("Neg", "IN", "OUT"), ("ReduceSum", "IN", "LOSS")], {"IN": ROW}, {"OUT": ROW, "LOSS": (1, 1)})


def _one(given: Any, answer: Any, **more: NDArray[Any]) -> list[Request]:
    return [Request({"IN": array(given), **more}, [{"OUT": array(answer)}])]


TUNED = """runtime: "libtriton_onnxruntime.so"
optimization { graph { level: 2 } }
parameters { key: "execution_mode" value { string_value: "1" } }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
parameters { key: "enable_mem_pattern" value { string_value: "false" } }
"""
NEG = graph([("Neg", "IN", "OUT")], {"IN": (1,)}, {"OUT": (1,)})
SERVED = (
    _state(),
    Case("onnx-default", onnx(FREE, BIAS), _one([1, 2], [8, 9]), inputs=["IN FP32 [-1]"], like="plain"),
    Case("onnx-outputs", onnx(f"max_batch_size: 4\n{IO}", LOSS), _one([[1], [2]], [[-1], [-2]]), has_rows=True),
    Case("onnx-tuned", onnx(TUNED + IO, NEG), _one([1], [-1]), like="plain"),
)
OWN = IO.replace("IN", "S").partition("output")[0]
SEVERAL = graph([("Neg", "IN", "OUT")], {"IN": ("n", 5)}, {"OUT": ("n", 5)})
FIVE = "max_batch_size: 4\n" + IO.replace("[ 1 ]", "[ 5 ]").replace("[ 5 ]", "[ 5 ] allow_ragged_batch: true", 1)
AXES = (
    "Input IN: The model has TYPE_FP32 [n, 5], and Triton hands a ragged input over in one free axis: leave "
    "allow_ragged_batch out, or export the model so."
)
REFUSED = (
    Case(
        "onnx-state-of-callers",
        onnx(f"max_batch_size: 4\n{IO}{OWN}sequence_batching {{ direct {{ }} {STATE} }}\n", SUMS),
        refused=["Input S: Triton fills it itself, as a state: take it out of input."],
        notes=[SEQUENCES],
    ),
    Case(
        "onnx-optional-without-value",
        onnx(OPTIONAL.replace("dims: [ -1 ]", "dims: [ -1 ] optional: true", 1), BIAS),
        refused=["Input IN: config.pbtxt calls it optional, and the model has no value for it: leave optional out."],
    ),
    Case(
        "onnx-value-not-optional",
        onnx(OPTIONAL.replace(" optional: true", ""), BIAS),
        refused=[
            (
                "Input BIAS: The model has a value for it, so Triton does not count it: "
                "write optional: true, or leave it out."
            )
        ],
    ),
    Case("onnx-ragged-of-two-axes", onnx(FIVE, SEVERAL), refused=[AXES]),
)
CASES = (*SERVED, *REFUSED)
