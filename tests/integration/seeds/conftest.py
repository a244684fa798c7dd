"""What the documents' requests need: their services, and a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.live import Live

FLOWER_CONFIG = """
name: "flower-sample"
backend: "python"
max_batch_size: 8
input [
  { name: "image_bytes" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "key" data_type: TYPE_STRING dims: [ 1 ] }
]
output [
  { name: "prediction" data_type: TYPE_INT64 dims: [ 1 ] },
  { name: "scores" data_type: TYPE_FP32 dims: [ 3 ] },
  { name: "key" data_type: TYPE_STRING dims: [ 1 ] }
]
"""
FLOWER_MODEL = '''
"""Sorts pictures by their first byte: enough to see that the very bytes arrived."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        pictures = pb_utils.get_input_tensor_by_name(request, "image_bytes").as_numpy()
        keys = pb_utils.get_input_tensor_by_name(request, "key").as_numpy()
        first = np.array([[picture[0] for picture in row] for row in pictures.tolist()], np.int64)
        scores = np.stack([np.eye(3, dtype=np.float32)[number[0] % 3] for number in first])
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("prediction", first),
            pb_utils.Tensor("scores", scores),
            pb_utils.Tensor("key", keys),
        ])
'''


def write_flower(folder: Path) -> None:
    (folder / "flower-sample" / "1").mkdir(parents=True)
    (folder / "flower-sample" / "config.pbtxt").write_text(FLOWER_CONFIG)
    (folder / "flower-sample" / "1" / "model.py").write_text(FLOWER_MODEL)


@pytest.fixture(scope="package")
def flower(live: Live) -> Iterator[str]:
    """The service of KServe's own sample request: a picture and a key in, a class with scores out."""
    write_flower(live.stack.datasets / "flowers")
    options = {"path": str(live.stack.datasets / "flowers")}
    dataset = live.api("datasets/", {"name": "flowers", "kind": "local", "options": options, "team": "default"})
    assert dataset.status == 201, dataset.body
    assert live.api("datasets/flowers/trust/", {"trusted": True}).status == 200
    live.create("flower-sample", "flower-sample", dataset="flowers")
    live.wait("flower-sample")
    yield "flower-sample"
    live.delete("flower-sample")


def metadata(key: str) -> list[list[str]]:
    return [["authorization", f"Bearer {key}"]]


def curl_body(request: dict[str, object]) -> str:
    return json.dumps(request)
