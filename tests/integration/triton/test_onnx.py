"""The onnxruntime backend on the real Triton: datatypes, scalars, weights in a file of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from services.frameworks.triton import runtime
from services.frameworks.triton.describe import describe
from services.specs import Tensor
from tests.servers.triton import OpenTriton, grpc_input, runtime_root

pytestmark = pytest.mark.integration

MAKE = """
import sys
import numpy as np
import onnx
from onnx import helper, numpy_helper

def value(name, element, shape):
    return helper.make_tensor_value_info(name, element, shape)

weights = numpy_helper.from_array(np.arange(64 * 64, dtype=np.float32).reshape(64, 64), "weights")
graph = helper.make_graph(
    [
        helper.make_node("Identity", ["text"], ["same"]), helper.make_node("Not", ["flag"], ["not"]),
        helper.make_node("MatMul", ["x", "weights"], ["y"]),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Cast", ["x"], ["half"], to=10), helper.make_node("Mul", ["x", "scale"], ["scaled"]),
    ],
    "types",
    [value("text", 8, ["n"]), value("flag", 9, ["n"]), value("x", 1, ["n", 64]), value("scale", 1, [])],
    [
        value("same", 8, ["n"]), value("not", 9, ["n"]), value("y", 1, ["n", 64]), value("total", 1, []),
        value("half", 10, ["n", 64]), value("scaled", 1, ["n", 64]),
    ],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, sys.argv[1], save_as_external_data=True, location="weights.bin", size_threshold=0)
"""


def test_no_name_in_a_model_is_read_by_the_shell_that_starts_it(opened: OpenTriton, tmp_path: Path) -> None:
    file = "a &touch by-file& `touch by-file` 'b'; c.onnx"
    (tmp_path / "tree" / "1").mkdir(parents=True)
    python = runtime.locate(runtime_root()).python
    subprocess.run([python, "-c", MAKE, tmp_path / "tree" / "1" / file], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "tree" / "config.pbtxt").write_text(
        f'backend: "onnxruntime" default_model_filename: {json.dumps(file)} '
        'instance_group [{ name: "g &touch by-group& $(touch by-group)" kind: KIND_CPU count: 2 }]'
    )
    with opened.serve("shell", tmp_path / "tree"):
        pass
    assert not [*tmp_path.rglob("by-*")]


def test_texts_flags_halves_scalars_and_weights_beside_the_model_pass(opened: OpenTriton, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    python = runtime.locate(runtime_root()).python
    subprocess.run([python, "-c", MAKE, tree / "types.onnx"], cwd=tmp_path, check=True, timeout=60)
    assert (tree / "weights.bin").stat().st_size == 64 * 64 * 4
    described = describe(tree, {})
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in described.inputs] == [
        ("text", "BYTES", (-1,)),
        ("flag", "BOOL", (-1,)),
        ("x", "FP32", (-1, 64)),
        ("scale", "FP32", (1,)),
    ]
    assert Tensor("total", "FP32", (1,)) in described.outputs

    ones = np.ones((2, 64), dtype=np.float32)
    with (
        opened.serve("types", tree) as triton,
        grpcclient.InferenceServerClient(triton.grpc) as client,
    ):
        result = client.infer(
            "types",
            [
                grpc_input("text", np.array(["grün".encode(), b""], dtype=object), "BYTES"),
                grpc_input("flag", np.array([True, False]), "BOOL"),
                grpc_input("x", ones, "FP32"),
                grpc_input("scale", np.array([3], dtype=np.float32), "FP32"),
            ],
        )
    assert [text.decode() for text in result.as_numpy("same")] == ["grün", ""]
    assert result.as_numpy("not").tolist() == [False, True]
    assert np.array_equal(result.as_numpy("y"), ones @ np.arange(64 * 64, dtype=np.float32).reshape(64, 64))
    assert result.as_numpy("total").tolist() == [128]
    assert (result.as_numpy("half").dtype, result.as_numpy("half").shape) == (np.float16, (2, 64))
    assert np.array_equal(result.as_numpy("scaled"), ones * 3)


def test_the_config_that_is_suggested_loads_and_batches(opened: OpenTriton, tmp_path: Path) -> None:
    config = (
        MAKE.replace('"n"', '"batch"').split("weights = ")[0]
        + """
node = helper.make_node("ReduceSum", ["x"], ["y"], axes=[1], keepdims=1)
graph = helper.make_graph([node], "sums", [value("x", 1, ["batch", 64])], [value("y", 1, ["batch", 1])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
onnx.save(model, sys.argv[1])
"""
    )
    (tmp_path / "tree" / "1").mkdir(parents=True)
    python = runtime.locate(runtime_root()).python
    subprocess.run([python, "-c", config, tmp_path / "tree" / "1" / "model.onnx"], cwd=tmp_path, check=True, timeout=60)
    suggested = describe(tmp_path / "tree", {}).suggested
    assert "max_batch_size: 8" in suggested and "dynamic_batching" in suggested
    (tmp_path / "tree" / "config.pbtxt").write_text(suggested)
    described = describe(tmp_path / "tree", {})
    assert not described.problems and described.max_batch_size == 8
    assert {row.verdict for row in described.comparison} == {"same"}

    x = np.arange(3 * 64, dtype=np.float32).reshape(3, 64)
    with (
        opened.serve("sums", tmp_path / "tree") as triton,
        grpcclient.InferenceServerClient(triton.grpc) as client,
    ):
        answer = client.infer("sums", [grpc_input("x", x, "FP32")]).as_numpy("y")
    assert np.array_equal(answer, x.sum(axis=1, keepdims=True))
