"""Inputs and outputs of an ONNX file, read without the onnx package."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.frameworks.triton import onnx_graph
from services.specs import Tensor
from tests.services.frameworks.triton.onnx_files import field, model, tensor


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    graph = onnx_graph.load(path)
    return onnx_graph.tensors(graph.inputs), onnx_graph.tensors(graph.outputs)


def test_names_datatypes_and_shapes_are_read(tmp_path: Path) -> None:
    inputs = [tensor("x", 1, ["batch", 3, 224]), tensor("text", 8, [-1]), tensor("scalar", 9, [])]
    path = write(tmp_path, model(inputs, [tensor("y", 16, [0, 5])]))
    assert read(path) == (
        (Tensor("x", "FP32", (-1, 3, 224)), Tensor("text", "BYTES", (-1,)), Tensor("scalar", "BOOL", ())),
        (Tensor("y", "BF16", (0, 5)),),
    )


def test_weights_that_old_exporters_list_as_inputs_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, model([tensor("x", 1, [1]), tensor("w", 1, [9])], [], {"w": b"\0" * 36}))
    assert [value.name for value in read(path)[0]] == ["x"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"not an onnx file at all", "not an ONNX file"),
        (b"\xff" * 40, "not an ONNX file"),
        (field(2, "producer"), "no graph"),
        (model([tensor("x", 1, [1])], [])[:-12], "cut short"),
        (model([tensor("x", 14, [1])], []), "'x' has a datatype that Triton does not know"),
        (model([field(1, "x") + field(2, field(4, b""))], []), "'x' is not a tensor"),
        (model([tensor("x", 1, None)], []), "'x' has no shape: fill in"),
    ],
)
def test_what_is_no_usable_graph_is_refused_with_the_reason(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(onnx_graph.BadGraph, match=message):
        read(write(tmp_path, data))


def test_a_cut_file_never_ends_in_another_error(tmp_path: Path) -> None:
    whole = model([tensor("x", 1, ["n", 64])], [tensor("y", 7, ["n"])], {"w": b"\1" * 50})
    for length in range(len(whole)):
        path = write(tmp_path, whole[:length])
        try:
            read(path)
        except onnx_graph.BadGraph:
            continue
        assert field(12, tensor("y", 7, ["n"])) in whole[:length], "only the graph's tail may be missing"
