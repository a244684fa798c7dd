"""Models for the tests of the bridge: `rows` has two inputs, one of them text, in batches of at most four rows. Of the
others each has one thing that V1 does not: optional inputs, outputs without a row for each instance, 16-bit floats.
"""

from __future__ import annotations

from pathlib import Path

CONFIG = """\
backend: "python"
max_batch_size: 4
input [
  { name: "numbers" data_type: TYPE_FP32 dims: [ 2 ] },
  { name: "text" data_type: TYPE_STRING dims: [ 1 ] }
]
output [
  { name: "sum" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "upper" data_type: TYPE_STRING dims: [ 1 ] }
]
"""
CODE = """\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        numbers = pb_utils.get_input_tensor_by_name(request, "numbers").as_numpy()
        text = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
        if b"fail" in text.ravel():
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("asked to fail"))
        upper = np.array([value.upper() for value in text.ravel()], dtype=object).reshape(text.shape)
        return pb_utils.InferenceResponse(output_tensors=[
            pb_utils.Tensor("sum", numbers.sum(axis=1, keepdims=True)), pb_utils.Tensor("upper", upper),
        ])
"""


def rows(root: Path) -> Path:
    """The model's folder, written below `root`."""
    (root / "rows" / "1").mkdir(parents=True)
    (root / "rows" / "config.pbtxt").write_text(CONFIG)
    (root / "rows" / "1" / "model.py").write_text(CODE)
    return root / "rows"


def tensors(*rows: tuple[str, str, str, str]) -> str:
    """Inputs and outputs of a config.pbtxt: (field, name, type, dims and what else there is)."""
    return "".join(
        f'{field} {{ name: "{name}" data_type: TYPE_{kind} dims: {rest} }}\n' for field, name, kind, rest in rows
    )


HEAD = """\
import numpy as np
import triton_python_backend_utils as pb_utils


def read(request, name):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse(self.answer(request)) for request in requests]

"""
ADD = """\
    def answer(self, request):
        parts = [part for part in (read(request, "a"), read(request, "b")) if part is not None]
        return [pb_utils.Tensor("y", np.asarray(sum(parts, np.zeros(1)), np.float32))]
"""
AUTO = """
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "a", "data_type": "TYPE_FP32", "dims": [-1]})
        config.add_input({"name": "b", "data_type": "TYPE_FP32", "dims": [-1], "optional": True})
        config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [-1]})
        return config
"""
FIND = """\
    # As many boxes as the numbers add up to, and a label for each row.
    def answer(self, request):
        numbers = read(request, "x")
        boxes = np.arange(4 * int(numbers.sum()), dtype=np.float32).reshape(-1, 4)
        labels = numbers.sum(axis=1).astype(np.int64)
        return [pb_utils.Tensor("boxes", boxes), pb_utils.Tensor("labels", labels)]
"""
SUM = """\
    def answer(self, request):
        numbers = read(request, "x")
        histogram = np.array([numbers.min(), numbers.max()], np.float32)
        return [pb_utils.Tensor("sum", numbers.sum(keepdims=True).ravel()), pb_utils.Tensor("ends", histogram)]
"""
HALF = """\
    def answer(self, request):
        brain = pb_utils.get_input_tensor_by_name(request, "brain")
        half = (read(request, "x") / 10).astype(np.float16)
        return [pb_utils.Tensor("half", half), pb_utils.Tensor.from_dlpack("same", brain.to_dlpack())]
"""
COUNT = """\
    # How many values were sent in all.
    def answer(self, request):
        sizes = [part.size for part in (read(request, name) for name in ("image", "least", "x")) if part is not None]
        count = np.array([sum(sizes)], np.int64)
        return [pb_utils.Tensor("one", count), pb_utils.Tensor("free", count)]
"""
NO_INPUTS = """
    @staticmethod
    def auto_complete_config(config):
        return config
"""
DECOUPLED = """\
    def execute(self, requests):
        for request in requests:
            request.get_response_sender().send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
A, B = ("input", "a", "FP32", "-1"), ("input", "b", "FP32", "-1")
OPTIONAL = {kind: (*tensor[:3], "-1 optional: true") for kind, tensor in (("a", A), ("b", B))}
Y = ("output", "y", "FP32", "-1")
FOUND = (("output", "boxes", "FP32", "[-1, 4]"), ("output", "labels", "INT64", "-1"))
X = ("input", "x", "FP32", "[-1, 2]")
COUNTED = (("output", "one", "INT64", "1"), ("output", "free", "INT64", "-1"))
MODELS = {
    "add": ("max_batch_size: 0\n" + tensors(A, OPTIONAL["b"], Y), ADD),
    "both": ("max_batch_size: 0\n" + tensors(A, B, Y), ADD),
    "auto": ("max_batch_size: 0\n", ADD + AUTO),
    "either": ("max_batch_size: 0\n" + tensors(OPTIONAL["a"], OPTIONAL["b"], Y), ADD),
    "find": ("max_batch_size: 0\n" + tensors(X, *FOUND), FIND),
    "find-one": ("max_batch_size: 0\n" + tensors(("input", "x", "FP32", "[1, 2]"), *FOUND), FIND),
    "find-batch": (
        "max_batch_size: 2\n"
        + tensors(
            ("input", "x", "FP32", "2"),
            ("output", "boxes", "FP32", "4"),
            ("output", "labels", "INT64", "1 reshape: { shape: [] }"),
        ),
        FIND,
    ),
    "sum": ("max_batch_size: 0\n" + tensors(X, ("output", "sum", "FP32", "1"), ("output", "ends", "FP32", "2")), SUM),
    "half": (
        "max_batch_size: 4\n"
        + tensors(
            ("input", "x", "INT32", "1"),
            ("input", "brain", "BF16", "1"),
            ("output", "half", "FP16", "1"),
            ("output", "same", "BF16", "1"),
        ),
        HALF,
    ),
    "none": ("max_batch_size: 0\n" + tensors(*COUNTED), COUNT + NO_INPUTS),
    "image": (
        "max_batch_size: 0\n"
        + tensors(("input", "image", "UINT8", "[-1, -1, 3]"), ("input", "least", "FP32", "1"), *COUNTED),
        COUNT,
    ),
    "labelled": (
        "max_batch_size: 0\n"
        + tensors(("input", "image", "UINT8", "[-1, -1, 3]"), ("input", "least", "FP32", "-1"), *COUNTED),
        COUNT,
    ),
    "stream": ("max_batch_size: 0\nmodel_transaction_policy { decoupled: true }\n" + tensors(A, B, Y), DECOUPLED),
}
"""Name -> config.pbtxt without its backend, and the methods of its code."""


def write(root: Path) -> dict[str, Path]:
    """The folder of each of MODELS, below `root`."""
    for name, (config, code) in MODELS.items():
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(f'backend: "python"\n{config}')
        (root / name / "1" / "model.py").write_text(HEAD + code)
    return {name: root / name for name in MODELS}
