"""A model for the tests of the bridge: two inputs, one of them text, in batches of at most four rows."""

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
CODE = '''\
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
'''


def rows(root: Path) -> Path:
    """The model's folder, written below `root`."""
    (root / "rows" / "1").mkdir(parents=True)
    (root / "rows" / "config.pbtxt").write_text(CONFIG)
    (root / "rows" / "1" / "model.py").write_text(CODE)
    return root / "rows"
