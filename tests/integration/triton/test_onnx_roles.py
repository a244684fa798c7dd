"""ONNX models whose inputs Triton fills, or callers may leave out, and ONNX in several files, on the real Triton."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from datasets.inspect.folder import inspect
from services.frameworks.triton import runtime
from services.frameworks.triton.describe import describe
from tests.corpus.folders import IDLE
from tests.servers.triton import OpenTriton, grpc_input, runtime_root

pytestmark = pytest.mark.integration

MAKE = """
import pathlib, sys
import numpy as np
import onnx
from onnx import helper, numpy_helper

def value(name, shape, element=1):
    return helper.make_tensor_value_info(name, element, shape)

def constant(name, *numbers):
    return numpy_helper.from_array(np.array(numbers, np.float32), name)

def save(name, nodes, inputs, outputs, constants=(), file="1/model.onnx", **options):
    made = [helper.make_node(op, takes.split(), gives.split(), **more) for op, takes, gives, more in nodes]
    graph = helper.make_graph(made, name, inputs, outputs, list(constants))
    path = pathlib.Path(sys.argv[1], name, file)
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path, **options)

save("controls", [
    ("Mul", "START ten", "s", {}), ("Mul", "END hundred", "e", {}), ("Cast", "READY", "ready", {"to": 1}),
    ("Mul", "ready thousand", "r", {}), ("Sum", "x s e r", "y", {}), ("Identity", "ID", "id", {}),
], [
    value("x", ["n", 1]), value("START", ["n", 1]), value("END", ["n", 1]), value("READY", ["n", 1], 9),
    value("ID", ["n", 1], 13),
], [value("y", ["n", 1]), value("id", ["n", 1], 13)],
    [constant("ten", 10), constant("hundred", 100), constant("thousand", 1000)])
save("sums", [("Add", "x s_in", "s_out", {}), ("Identity", "s_out", "y", {})],
     [value("x", ["n", 1]), value("s_in", ["n", 1])], [value("y", ["n", 1]), value("s_out", ["n", 1])])
save("texts", [("Identity", "s_in", "y", {}), ("Identity", "x", "s_out", {})],
     [value("x", [1], 8), value("s_in", [1], 8)], [value("y", [1], 8), value("s_out", [1], 8)])
save("ragged", [
    ("ReduceSum", "x", "sum", {"keepdims": 1}), ("Add", "sum cnt", "y", {}), ("Mul", "x two", "twice", {}),
    ("Identity", "items", "shapes", {}), ("Shape", "most", "length", {}), ("Identity", "ends", "bounds", {}),
], [
    value("x", ["n"]), value("cnt", ["r"]), value("items", ["b", "d"], 6), value("most", ["m"]), value("ends", ["e"]),
], [
    value("y", ["r"]), value("twice", ["n"]), value("shapes", ["b", "d"], 6), value("length", ["l"], 7),
    value("bounds", ["e"]),
], [constant("two", 2)])
save("partial", [("Mul", "x k", "y", {}), ("ReduceSum", "x", "loss", {"keepdims": 0})],
     [value("x", ["n", 2]), value("k", [])], [value("y", ["n", 2]), value("loss", [])])
save("files", [("MatMul", "x w", "y", {})], [value("x", ["n", 2])], [value("y", ["n", 2])],
     [constant("w", [0, 1], [1, 0])], file="1/model.onnx/model.onnx", save_as_external_data=True,
     location="weights.bin", size_threshold=0)
save("named", [("Identity", "ID", "y", {}), ("Identity", "x", "z", {})],
     [value("x", ["n", 1]), value("ID", ["n", 1], 8)], [value("y", ["n", 1], 8), value("z", ["n", 1])])
save("shapeless", [("Neg", "x", "y", {})], [value("x", None)], [value("y", None)])
save("streamed", [("Neg", "x", "y", {})], [value("x", [1])], [value("y", [1])])
"""
IO = 'input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "y" data_type: TYPE_FP32 dims: 1 }'
CONTROLS = f"""max_batch_size: 4 {IO} output {{ name: "id" data_type: TYPE_UINT64 dims: 1 }}
sequence_batching {{ {IDLE} direct {{ }} control_input [
  {{ name: "START" control {{ kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] }} }},
  {{ name: "END" control {{ kind: CONTROL_SEQUENCE_END fp32_false_true: [0, 1] }} }},
  {{ name: "READY" control {{ kind: CONTROL_SEQUENCE_READY bool_false_true: [false, true] }} }},
  {{ name: "ID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }} }}
] }}"""
STATE = 'state { input_name: "s_in" output_name: "s_out" data_type: TYPE_FP32 dims: 1'
FIRST = 'initial_state { name: "first" data_type: TYPE_FP32 dims: 1 data_file: "five" } }'
RAGGED = """max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true }
output [
  { name: "y" data_type: TYPE_FP32 dims: 1 reshape { } }, { name: "twice" data_type: TYPE_FP32 dims: -1 },
  { name: "shapes" data_type: TYPE_INT32 dims: -1 }, { name: "length" data_type: TYPE_INT64 dims: 1 reshape { } },
  { name: "bounds" data_type: TYPE_FP32 dims: 1 reshape { } }
]
batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "twice" source_input: "x" }
batch_input [
  { kind: BATCH_ELEMENT_COUNT target_name: "cnt" data_type: TYPE_FP32 source_input: "x" },
  { kind: BATCH_ITEM_SHAPE target_name: "items" data_type: TYPE_INT32 source_input: "x" },
  { kind: BATCH_MAX_ELEMENT_COUNT_AS_SHAPE target_name: "most" data_type: TYPE_FP32 source_input: "x" },
  { kind: BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO target_name: "ends" data_type: TYPE_FP32 source_input: "x" }
]"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx-roles")
    python = runtime.locate(runtime_root()).python
    subprocess.run([python, "-P", "-c", MAKE, out], cwd=out, check=True, timeout=120)
    return out


Served = Callable[[Path, str], AbstractContextManager[grpcclient.InferenceServerClient]]


@pytest.fixture
def served(opened: OpenTriton) -> Served:
    @contextmanager
    def serve(tree: Path, config: str) -> Iterator[grpcclient.InferenceServerClient]:
        (tree / "config.pbtxt").write_text(f'backend: "onnxruntime" {config}')
        assert describe(tree, {}).problems == ()
        assert inspect(tree, tree.name).problems == ()
        with opened.serve(tree.name, tree) as triton, grpcclient.InferenceServerClient(triton.grpc) as client:
            yield client

    return serve


def numbers(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


def step(
    client: grpcclient.InferenceServerClient,
    name: str,
    sequence: int | str,
    number: float,
    *,
    start: bool = False,
    end: bool = False,
) -> float:
    result = client.infer(
        name,
        [grpc_input("x", numbers(number).reshape(1, 1))],
        sequence_id=sequence,
        sequence_start=start,
        sequence_end=end,
    )
    return float(result.as_numpy("y")[0, 0])


def test_triton_fills_the_controls_of_sequences(models: Path, served: Served) -> None:
    with served(models / "controls", CONTROLS) as client:
        described = describe(models / "controls", {})
        assert [tensor.name for tensor in described.inputs] == ["x"]
        assert step(client, "controls", 7, 1, start=True) == 1011
        assert step(client, "controls", 7, 2) == 1002
        assert step(client, "controls", 7, 3, end=True) == 1103
        one = [grpc_input("x", numbers(1).reshape(1, 1))]
        result = client.infer("controls", one, sequence_id=1 << 40, sequence_start=True)
        assert result.as_numpy("id").tolist() == [[1 << 40]]


def test_each_sequence_has_its_own_state_from_the_first_file_to_its_end(models: Path, served: Served) -> None:
    (models / "sums" / "initial_state").mkdir()
    (models / "sums" / "initial_state" / "five").write_bytes(numbers(5).tobytes())
    batching = f"sequence_batching {{ {IDLE} oldest {{ max_candidate_sequences: 2 }}"
    with served(models / "sums", f"max_batch_size: 2 {IO} {batching} {STATE} {FIRST} }}") as client:
        assert step(client, "sums", 1, 1, start=True) == 6
        assert step(client, "sums", "two", 10, start=True) == 15
        assert [step(client, "sums", 1, 2), step(client, "sums", "two", 20)] == [8, 35]
        assert step(client, "sums", 1, 3, end=True) == 11
        assert step(client, "sums", 3, 1, start=True) == 6
        assert [step(client, "sums", "two", 1), step(client, "sums", 3, 1)] == [36, 7]
        assert step(client, "sums", 3, 1, start=True) == 6, "a sequence that starts again forgets"
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            step(client, "sums", 1, 1)


def test_a_state_of_texts_starts_empty_and_may_be_returned(models: Path, served: Served) -> None:
    io = IO.replace("FP32", "STRING") + ' output { name: "s_out" data_type: TYPE_STRING dims: 1 }'
    config = f"{io} sequence_batching {{ {IDLE} direct {{ }} {STATE.replace('FP32', 'STRING')} }} }}"
    with served(models / "texts", config) as client:
        answers = []
        for index, text in enumerate(("grün", "b", "c")):
            values = np.array([text.encode()], dtype=object)
            result = client.infer("texts", [grpc_input("x", values, "BYTES")], sequence_id=5, sequence_start=index == 0)
            answers.append((result.as_numpy("y")[0].decode(), result.as_numpy("s_out")[0].decode()))
    assert answers == [("", "grün"), ("grün", "b"), ("b", "c")]


def test_a_model_gets_the_ids_of_sequences_as_text(models: Path, served: Served) -> None:
    control = 'control_input { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }'
    io = IO.replace('"y" data_type: TYPE_FP32', '"y" data_type: TYPE_STRING')
    config = f"max_batch_size: 4 {io} sequence_batching {{ {IDLE} direct {{ }} {control} }}"
    with served(models / "named", config) as client:
        one = [grpc_input("x", numbers(1).reshape(1, 1))]
        for key in ("grün", "k" * 128):
            answer = client.infer("named", one, sequence_id=key, sequence_start=True, sequence_end=True).as_numpy("y")
            assert [[text.decode() for text in row] for row in answer] == [[key]]
        with pytest.raises(InferenceServerException, match="takes sequence ids that are texts"):
            client.infer("named", one, sequence_id=7, sequence_start=True)


def test_batch_inputs_tell_of_ragged_ones_and_outputs_are_scattered(models: Path, served: Served) -> None:
    names = ("y", "twice", "shapes", "length", "bounds")
    with served(models / "ragged", RAGGED) as client:

        def ask(rows: Sequence[Sequence[float]]) -> list[Any]:
            result = client.infer(
                "ragged",
                [grpc_input("x", np.array(rows, dtype=np.float32))],
                outputs=[grpcclient.InferRequestedOutput(name) for name in names],
            )
            return [result.as_numpy(name).ravel().tolist() for name in names]

        assert ask([[1, 2, 3]]) == [[9], [2, 4, 6], [3], [3], [0, 3]]
        assert ask([[1, 2], [3, 4]]) == [[14], [2, 4, 6, 8], [2, 2], [4], [0, 4]]


def test_scalars_do_not_stand_in_the_way_of_batches(models: Path, served: Served) -> None:
    io = IO.replace("dims: 1", "dims: 2")
    config = f"max_batch_size: 4 {io} {IO.partition('output')[0].replace('x', 'k')}"
    with served(models / "partial", config) as client:
        inputs = [
            grpc_input("x", np.ones((3, 2), dtype=np.float32)),
            grpc_input("k", np.full((3, 1), 4, dtype=np.float32)),
        ]
        assert client.infer("partial", inputs).as_numpy("y").tolist() == [[4, 4]] * 3


def test_a_model_without_shapes_gets_what_is_sent(models: Path, served: Served) -> None:
    io = IO.replace("dims: 1", "dims: 2")
    with served(models / "shapeless", f"max_batch_size: 4 {io}") as client:
        rows = np.ones((3, 2), dtype=np.float32)
        assert client.infer("shapeless", [grpc_input("x", rows)]).as_numpy("y").tolist() == [[-1, -1]] * 3


def test_a_folder_named_as_the_model_holds_the_graph_and_its_weights(models: Path, served: Served) -> None:
    tree = models / "files"
    assert describe(tree, {}).notes == ("Inputs and outputs were read from 1/model.onnx/model.onnx.",)
    with served(tree, IO.replace("dims: 1", "dims: [-1, 2]")) as client:
        answer = client.infer("files", [grpc_input("x", numbers(1, 2).reshape(1, 2))]).as_numpy("y")
    assert answer.tolist() == [[2, 1]]
    (tree / "1" / "model.onnx" / "weights.bin").unlink()
    assert "weights.bin, which is missing" in " ".join(describe(tree, {}).problems)
    (tree / "1" / "model.onnx" / "model.onnx").rename(tree / "1" / "model.onnx" / "net.onnx")
    assert (
        describe(tree, {}).problems
        == inspect(tree).problems
        == ("1/model.onnx/model.onnx is missing: a folder for an ONNX model holds the graph under that name.",)
    )


def test_a_decoupled_model_streams_its_one_response(models: Path, served: Served) -> None:
    config = f"{IO} model_transaction_policy {{ decoupled: true }}"
    with served(models / "streamed", config) as client:
        results: Queue[Any] = Queue()
        client.start_stream(lambda result, error: results.put(result.as_numpy("y").tolist() if result else str(error)))
        client.async_stream_infer("streamed", [grpc_input("x", numbers(3))])
        assert results.get(timeout=60) == [-3]
        client.stop_stream()
