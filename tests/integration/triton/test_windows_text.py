"""Text files that were written on Windows, served by the real Triton."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as httpclient

from services.frameworks.triton.launch import render
from tests.servers.triton import context_for, runtime_root, start_triton

pytestmark = pytest.mark.integration

CONFIG = """backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [ 3 ] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" }]
"""
MODEL = """import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("y", one.inputs()[0].as_numpy())]) for one in requests]
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_model_whose_texts_come_from_windows_answers_with_its_labels(tmp_path: Path, encoding: str) -> None:
    def write(name: str, text: str, encoding: str = encoding) -> None:
        (tmp_path / "m" / "1").mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))

    write("config.pbtxt", CONFIG)
    write("labels.txt", "cat\nhäst\ndog\n")
    write("1/model.py", MODEL, "utf-8-sig")
    context = context_for("m", tmp_path / "m", tmp_path / "run", runtime_root())
    with start_triton(render(context), context.run_dir, context.ports) as triton:
        client = httpclient.InferenceServerClient(triton.http)
        sent = httpclient.InferInput("x", [3], "FP32").set_data_from_numpy(np.array([1, 3, 2], np.float32))
        output = httpclient.InferRequestedOutput("y", class_count=3)
        answer = client.infer("m", [sent], outputs=[output]).as_numpy("y")
    assert [text.decode() for text in answer] == ["3.000000:1:häst", "2.000000:2:dog", "1.000000:0:cat"]
