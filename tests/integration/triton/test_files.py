"""Files as people have them: texts written on Windows, odd names, read by the real Triton."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as httpclient

from tests.integration.datasets.test_names import BACKSLASH, NAMES
from tests.servers.triton import OpenTriton

pytestmark = pytest.mark.integration

CONFIG = """backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [ 3 ] }]
output [{ name: "y" data_type: %s }]
"""
MODEL = """import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("y", one.inputs()[0].as_numpy())]) for one in requests]
"""
READER = """import json
import os

import numpy
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        beside = os.path.join(os.path.dirname(__file__), "data ")
        contents = {name: open(os.path.join(beside, name)).read() for name in os.listdir(beside)}
        answer = numpy.array([json.dumps(contents)], dtype=object)
        return [pb.InferenceResponse([pb.Tensor("y", answer)]) for _ in requests]
"""


def ask(opened: OpenTriton, service: str, tree: Path, **options: int) -> list[str]:
    sent = httpclient.InferInput("x", [3], "FP32").set_data_from_numpy(np.array([1, 3, 2], np.float32))
    output = httpclient.InferRequestedOutput("y", **options)
    with opened.serve(service, tree) as triton, httpclient.InferenceServerClient(triton.http) as client:
        return [text.decode() for text in client.infer(service, [sent], outputs=[output]).as_numpy("y")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_model_whose_texts_come_from_windows_answers_with_its_labels(
    opened: OpenTriton, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    texts = {
        "config.pbtxt": (CONFIG % 'TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt"', encoding),
        "labels.txt": ("cat\nhäst\ndog\n", encoding),
        "1/model.py": (MODEL, "utf-8-sig"),
    }
    for name, (text, written) in texts.items():
        (tmp_path / "m" / name).write_bytes(text.replace("\n", "\r\n").encode(written))
    labels = ask(opened, f"labels-{encoding}", tmp_path / "m", class_count=3)
    assert labels == ["3.000000:1:häst", "2.000000:2:dog", "1.000000:0:cat"]


def test_a_model_reads_the_files_beside_it_whatever_they_are_called(opened: OpenTriton, tmp_path: Path) -> None:
    """Its own folder has a blank at its end."""
    tree = tmp_path / "svm "
    (tree / "1" / "data ").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(CONFIG % "TYPE_STRING dims: [ 1 ]")
    (tree / "1" / "model.py").write_text(READER)
    for name in (*NAMES, BACKSLASH):
        (tree / "1" / "data " / name).write_text(name)
    [answer] = ask(opened, "reader", tree)
    assert json.loads(answer) == {name: name for name in (*NAMES, BACKSLASH)}
