"""ONNX models: inputs that Triton fills or callers leave out, outputs that are not named. What only Triton sees of them
is in tests/integration/triton/test_onnx_roles.py, what is refused in tests/datasets/inspect/triton.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes

from tests.corpus.case import Case, Request, Write, array
from tests.corpus.folders import IDLE, files
from tests.corpus.scheduling import SEQUENCES
from tests.services.frameworks.triton.onnx_files import field, tensor

Node = tuple[str, str, str]
"""Operator, inputs and outputs, the names with blanks between."""
ELEMENTS = {"FP32": 1, "BF16": 16}
Shapes = Mapping[str, tuple[int | str, ...]]
IO = """input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
ROW = ("n", 1)


def _values(kind: int, shapes: Shapes) -> bytes:
    """Names are with their datatype, FP32 where they have none: "x BF16"."""
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


def numbers(*values: float) -> bytes:
    return field(1, len(values)) + field(2, ELEMENTS["FP32"]) + field(9, array(values).tobytes())


def onnx(config: str, model: bytes) -> Write:
    return files({"config.pbtxt": f'backend: "onnxruntime"\n{config}', "1/model.onnx": model})


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
HALVES = array([1.5, 2], ml_dtypes.bfloat16)
HALF = graph([("Identity", "IN", "OUT")], {"IN BF16": ("n",)}, {"OUT BF16": ("n",)})
LOSS = graph([("Neg", "IN", "OUT"), ("ReduceSum", "IN", "LOSS")], {"IN": ROW}, {"OUT": ROW, "LOSS": (1, 1)})


def _one(given: Any, answer: Any) -> list[Request]:
    return [Request({"IN": array(given)}, [{"OUT": array(answer)}])]


TUNED = """runtime: "libtriton_onnxruntime.so"
optimization { graph { level: 2 } }
parameters { key: "execution_mode" value { string_value: "1" } }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
parameters { key: "enable_mem_pattern" value { string_value: "false" } }
"""
NEG = graph([("Neg", "IN", "OUT")], {"IN": (1,)}, {"OUT": (1,)})
CASES = (
    _state(),
    Case(
        "onnx-optional",
        onnx(OPTIONAL, BIAS),
        [*_one([1, 2], [8, 9]), Request({"IN": array([1, 2]), "BIAS": array([1])}, [{"OUT": array([2, 3])}])],
        inputs=["IN FP32 [-1]", "BIAS FP32 [1]"],
        like="optional-input",
    ),
    Case(
        "onnx-bfloat16",
        onnx(FREE.replace("FP32", "BF16"), HALF),
        [Request({"IN": HALVES}, [{"OUT": HALVES}])],
        like="bf16",
    ),
    Case("onnx-default", onnx(FREE, BIAS), _one([1, 2], [8, 9]), inputs=["IN FP32 [-1]"], like="plain"),
    Case("onnx-outputs", onnx(f"max_batch_size: 4\n{IO}", LOSS), _one([[1], [2]], [[-1], [-2]]), has_rows=True),
    Case("onnx-tuned", onnx(TUNED + IO, NEG), _one([1], [-1]), like="plain"),
)
