"""What an ONNX file says, compared with what the onnx package says; and that bad files cost nothing."""

from __future__ import annotations

import json
import subprocess
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import onnx
from datasets.inspect.formats.onnx import Value
from tests.datasets.inspect.made import PATIENT, damaged, told
from tests.servers.triton import runtime_root
from tests.services.frameworks.triton.onnx_files import field, model, tensor, varint

TRUTH = """
import json, pathlib, onnx
found = {}
for path in sorted((pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data").rglob("*.onnx")):
    loaded = onnx.load(path, load_external_data=False)
    held = {one.name for one in loaded.graph.initializer}
    def value(one):
        kind = one.type.WhichOneof("value")
        if kind != "tensor_type":
            return [one.name, kind.removesuffix("_type"), 0, None]
        shape = [
            d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or -1
            for d in one.type.tensor_type.shape.dim
        ]
        known = one.type.tensor_type.HasField("shape")
        return [one.name, "tensor", one.type.tensor_type.elem_type, shape if known else None]
    found[str(path)] = {
        "inputs": [value(one) for one in loaded.graph.input if one.name not in held],
        "defaults": [value(one) for one in loaded.graph.input if one.name in held and loaded.ir_version >= 4],
        "outputs": [value(one) for one in loaded.graph.output], "nodes": len(loaded.graph.node),
        "opsets": {one.domain: one.version for one in loaded.opset_import}, "ir": loaded.ir_version,
    }
print(json.dumps(found))
"""


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    return path


def row_of(value: Value) -> list[object]:
    return [value.name, value.kind.removesuffix(" tensor"), value.element, value.shape and list(value.shape)]


def test_the_test_models_of_the_onnx_package_are_read_as_the_package_reads_them() -> None:
    python = runtime_root() / "bin" / "python"
    completed = subprocess.run([python, "-P", "-c", TRUTH], capture_output=True, check=True, timeout=120, cwd="/")
    truth = json.loads(completed.stdout)
    assert len(truth) > 100
    for path, expected in truth.items():
        graph = onnx.read(Path(path))
        for side in ("inputs", "outputs", "defaults"):
            ours = [[*row_of(value)[:3], (value.shape and list(value.shape)) or None] for value in getattr(graph, side)]
            theirs = [[*value[:3], value[3] or None] for value in expected[side]]
            assert ours == theirs, path
        assert (graph.nodes, graph.opsets, graph.ir_version) == (expected["nodes"], expected["opsets"], expected["ir"])


def test_names_of_free_axes_and_the_weights_are_told(tmp_path: Path) -> None:
    weight = field(5, field(1, 10) + field(1, 64) + field(2, 1) + field(8, "w") + field(9, b"\0" * 2560))
    graph = weight + field(11, tensor("x", 1, ["batch", 64, -1])) + field(12, tensor("y", 7, ["batch"]))
    parsed = onnx.read(write(tmp_path, field(2, "test") + field(7, graph) + field(8, field(2, 17))))
    assert parsed.inputs == (Value("x", "tensor", 1, ("batch", 64, -1)),)
    assert parsed.inputs[0].sizes == (-1, 64, -1)
    assert (parsed.parameters, parsed.opsets, parsed.producer) == (640, {"": 17}, "test")


def external(location: str, offset: int = 0, length: int = 40) -> bytes:
    pairs = {"location": location, "offset": str(offset), "length": str(length)}
    entries = b"".join(field(13, field(1, key) + field(2, text)) for key, text in pairs.items())
    held = field(1, varint(10)) + field(2, 1) + field(8, "w") + entries + field(14, 1)
    return field(7, field(5, held) + field(11, tensor("x", 1, [1])))


def test_files_of_weights_are_named_when_they_are_missing_short_or_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path, external("weights.data", 4096, 40))
    graph = onnx.read(path)
    assert graph.external == {"weights.data": 4136} and graph.parameters == 10
    assert "weights.data, which is missing" in onnx.problems(path, graph)[0]
    (tmp_path / "weights.data").write_bytes(b"\0" * 4100)
    assert "has 4100 bytes, and model.onnx needs 4136" in onnx.problems(path, graph)[0]
    (tmp_path / "weights.data").write_bytes(b"\0" * 4136)
    assert onnx.problems(path, graph) == []
    for place in ("../weights", "/etc/passwd", "a/../../b", ""):
        path = write(tmp_path, external(place))
        assert "not beside it" in onnx.problems(path, onnx.read(path))[0]


def test_operators_of_somebody_elses_library_are_told(tmp_path: Path) -> None:
    data = model([tensor("x", 1, [1])], []) + field(8, field(1, "my.ops") + field(2, 1))
    assert onnx.read(write(tmp_path, data)).foreign_domains == ["my.ops"]


def test_a_file_of_gigabytes_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    """The weights are a hole of 6 GiB inside of the graph, as a model below the limit of protobuf has them."""
    weights = 6 << 30
    held = field(8, "w") + varint(9 << 3 | 2) + varint(weights)
    first = varint(5 << 3 | 2) + varint(len(held) + weights) + held
    last = field(11, tensor("x", 1, ["n", 4]))
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.write(varint(7 << 3 | 2) + varint(len(first) + weights + len(last)) + first)
        file.seek(weights, 1)
        file.write(last)
    tracemalloc.start()
    began = time.perf_counter()
    assert [value.name for value in onnx.read(path).inputs] == ["x"]
    took, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20 and took < 1


def test_a_file_of_endless_parts_is_given_up(tmp_path: Path) -> None:
    path = write(tmp_path, field(7, b"\x08\x00" * 200_000))
    with pytest.raises(Unreadable, match="more parts than can be looked at"):
        onnx.read(path, Budget(steps=100_000))


def test_a_file_of_zeros_is_given_up_at_its_first_field(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not an"):
        onnx.read(write(tmp_path, bytes(1000)), Budget(steps=10))


WHOLE = model([tensor("x", 1, ["n", 64])], [tensor("y", 7, ["n"])], {"w": b"\1" * 50}) + external("a.data")


@PATIENT
@given(damaged(WHOLE))
def test_a_damaged_file_ends_in_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), data)
    with told():
        onnx.problems(path, onnx.read(path, Budget(steps=10_000)))
