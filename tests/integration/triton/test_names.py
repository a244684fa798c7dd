"""A model in a folder with a blank at its end, and files of odd names beside it, served by the real Triton."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as httpclient

from services.frameworks.triton.launch import render
from tests.integration.datasets.test_names import BACKSLASH, NAMES
from tests.servers.triton import context_for, runtime_root, start_triton

pytestmark = pytest.mark.integration

CONFIG = """backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [ 1 ] }]
output [{ name: "names" data_type: TYPE_STRING dims: [ 1 ] }]
"""
MODEL = """import json
import os

import numpy
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        beside = os.path.join(os.path.dirname(__file__), "data ")
        contents = {name: open(os.path.join(beside, name)).read() for name in os.listdir(beside)}
        answer = numpy.array([json.dumps(contents)], dtype=object)
        return [pb.InferenceResponse([pb.Tensor("names", answer)]) for _ in requests]
"""


def test_a_model_reads_the_files_beside_it_whatever_they_are_called(tmp_path: Path) -> None:
    tree = tmp_path / "svm "
    (tree / "1" / "data ").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(CONFIG)
    (tree / "1" / "model.py").write_text(MODEL)
    for name in (*NAMES, BACKSLASH):
        (tree / "1" / "data " / name).write_text(name)
    context = context_for("m", tree, tmp_path / "run", runtime_root())
    with start_triton(render(context), context.run_dir, context.ports) as triton:
        client = httpclient.InferenceServerClient(triton.http)
        sent = httpclient.InferInput("x", [1], "FP32").set_data_from_numpy(np.zeros(1, np.float32))
        [answer] = client.infer("m", [sent]).as_numpy("names")
    assert json.loads(answer) == {name: name for name in (*NAMES, BACKSLASH)}
