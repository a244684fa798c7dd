"""The sample models on the real Triton, started as the Triton framework says, each once for all its tests."""

from __future__ import annotations

import json
import queue
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from console.first_run.example import PIXELS
from services.clients.probes import kserve_v2
from services.frameworks.triton.describe import describe
from services.frameworks.triton.launch import render
from services.specs import Tensor
from tests.servers.triton import RunningTriton, context_for, runtime_root, serve, shared_samples, spawn, stop_all

pytestmark = pytest.mark.integration

Start = Callable[[str, str], RunningTriton]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_samples(tmp_path_factory)


@pytest.fixture(scope="module")
def start(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """`start(service, model)`: the replica of that name, started the first time it is asked for."""
    running: dict[str, RunningTriton] = {}
    home = tmp_path_factory.mktemp("replicas")

    def started(service: str, model: str) -> RunningTriton:
        if service not in running:
            context = context_for(service, samples / model, home / service, runtime_root())
            running[service] = spawn(render(context), context.run_dir, context.ports, service)
            running[service].wait_until_ready()
        return running[service]

    yield started
    stop_all(running.values())


@pytest.fixture
def grpc_of() -> Iterator[Callable[[RunningTriton], Any]]:
    with ExitStack() as stack:
        yield lambda triton: stack.enter_context(grpcclient.InferenceServerClient(triton.grpc))


def post(url: str, document: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def tensor(name: str, values: Any, datatype: str) -> Any:
    infer_input = grpcclient.InferInput(name, values.shape, datatype)
    infer_input.set_data_from_numpy(values)
    return infer_input


def pixels(rows: int = 1) -> Any:
    return np.array([PIXELS] * rows, dtype=np.float32)


def test_the_digits_svc_answers_8_over_rest_and_grpc(start: Start, grpc_of: Callable[[RunningTriton], Any]) -> None:
    triton = start("example-mnist-isvc", "mnist-svm")
    sent = {"inputs": [{"name": "predict", "shape": [1, 64], "datatype": "FP32", "data": PIXELS}]}
    answer = post(f"http://{triton.http}/v2/models/example-mnist-isvc/infer", sent)
    assert (answer["model_name"], answer["outputs"][0]["data"]) == ("example-mnist-isvc", [8.0])
    assert answer["outputs"][0]["shape"] == [1]
    result = grpc_of(triton).infer("example-mnist-isvc", [tensor("predict", pixels(), "FP32")])
    assert result.as_numpy("predict").tolist() == [8.0]


def test_the_probe_sees_it_ready_and_reads_its_metadata(start: Start) -> None:
    ports = start("example-mnist-isvc", "mnist-svm").ports
    assert kserve_v2.probe("127.0.0.1", ports.http, "example-mnist-isvc") == kserve_v2.ProbeResult(True, "")
    assert kserve_v2.server_ready("127.0.0.1", ports.http)
    assert kserve_v2.model_ready("127.0.0.1", ports.http, "example-mnist-isvc")
    assert not kserve_v2.model_ready("127.0.0.1", ports.http, "other")
    assert "other" in kserve_v2.probe("127.0.0.1", ports.http, "other").message
    metadata = kserve_v2.model_metadata("127.0.0.1", ports.http, "example-mnist-isvc")
    assert metadata.inputs == (Tensor("predict", "FP32", (-1, 64)),)
    assert metadata.versions == ("1",)


@pytest.mark.parametrize(
    "path",
    [
        "v2/models/example-mnist-isvc/config",
        "v2/models/stats",
        "v2/logging",
        "v2/trace/setting",
        "v2/systemsharedmemory/status",
        "v2/cudasharedmemory/status",
    ],
)
def test_what_only_an_operator_may_ask_is_closed_over_http(start: Start, path: str) -> None:
    triton = start("example-mnist-isvc", "mnist-svm")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{triton.http}/{path}", timeout=5)
    assert caught.value.code == 403


def test_the_repository_is_closed_over_http(start: Start) -> None:
    triton = start("example-mnist-isvc", "mnist-svm")
    for path in ("index", "models/example-mnist-isvc/load", "models/example-mnist-isvc/unload"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(f"http://{triton.http}/v2/repository/{path}", {})
        assert caught.value.code == 403


@pytest.mark.parametrize(
    "call",
    [
        "get_model_repository_index",
        "get_log_settings",
        "get_trace_settings",
        "get_inference_statistics",
        "get_system_shared_memory_status",
        "get_cuda_shared_memory_status",
    ],
)
def test_what_only_an_operator_may_ask_is_closed_over_grpc(
    start: Start, grpc_of: Callable[[RunningTriton], Any], call: str
) -> None:
    client = grpc_of(start("example-mnist-isvc", "mnist-svm"))
    with pytest.raises(InferenceServerException, match="restricted"):
        getattr(client, call)()


def test_the_onnx_model_answers_8_and_only_what_is_asked_for(
    start: Start, grpc_of: Callable[[RunningTriton], Any]
) -> None:
    client = grpc_of(start("onnx", "mnist-onnx"))
    result = client.infer("onnx", [tensor("predict", pixels(2), "FP32")])
    assert result.as_numpy("label").tolist() == [8, 8]
    assert result.as_numpy("probabilities").argmax(axis=1).tolist() == [8, 8]
    requested = [grpcclient.InferRequestedOutput("probabilities")]
    result = client.infer("onnx", [tensor("predict", pixels(), "FP32")], outputs=requested)
    assert [output.name for output in result.get_response().outputs] == ["probabilities"]


def test_the_onnx_backend_answers_a_failing_request_with_its_reason_and_lives_on(
    start: Start, grpc_of: Callable[[RunningTriton], Any]
) -> None:
    client = grpc_of(start("onnx", "mnist-onnx"))
    with pytest.raises(InferenceServerException, match="unexpected shape for input 'predict'"):
        client.infer("onnx", [tensor("predict", pixels()[:, :60], "FP32")])
    with pytest.raises(InferenceServerException, match="FP32"):
        client.infer("onnx", [tensor("predict", pixels().astype(np.int32), "INT32")])
    assert client.infer("onnx", [tensor("predict", pixels(), "FP32")]).as_numpy("label").tolist() == [8]


def test_the_console_reads_the_same_onnx_inputs_and_outputs_as_triton(
    start: Start, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes((samples / "mnist-onnx" / "1" / "model.onnx").read_bytes())
    described = describe(tmp_path, {})
    metadata = kserve_v2.model_metadata("127.0.0.1", start("onnx", "mnist-onnx").ports.http, "onnx")
    assert (described.inputs, described.outputs) == (metadata.inputs, metadata.outputs)


def test_a_bare_onnx_file_with_batching_from_the_form_is_served(
    samples: Path, tmp_path: Path, grpc_of: Callable[[RunningTriton], Any]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "digits.onnx").write_bytes((samples / "mnist-onnx" / "1" / "model.onnx").read_bytes())
    config = {"max_batch_size": 8, "instances": 2, "dynamic_batching": {"preferred_batch_size": [4]}}
    with serve(context_for("bare", tree, tmp_path / "run", runtime_root(), config=config)) as triton:
        client = grpc_of(triton)
        assert list(client.get_model_metadata("bare").inputs[0].shape) == [-1, 64]
        labels = client.infer("bare", [tensor("predict", pixels(3), "FP32")]).as_numpy("label")
        assert labels.ravel().tolist() == [8, 8, 8]
        with pytest.raises(InferenceServerException, match="batch"):
            client.infer("bare", [tensor("predict", pixels(9), "FP32")])


def test_one_request_streams_four_responses(start: Start, grpc_of: Callable[[RunningTriton], Any]) -> None:
    client = grpc_of(start("repeat", "repeat"))
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    client.async_stream_infer("repeat", [tensor("IN", np.array([3, 1, 4, 1], dtype=np.int32), "INT32")])
    received = []
    for _ in range(4):
        result, error = answers.get(timeout=10)
        assert error is None
        received.append(int(result.as_numpy("OUT")[0]))
    client.stop_stream()
    assert received == [3, 1, 4, 1]


def test_a_tensor_of_16_mib_passes_over_grpc_and_binary_http(
    start: Start, grpc_of: Callable[[RunningTriton], Any]
) -> None:
    triton = start("echo", "echo")
    values = np.arange(4 << 20, dtype=np.float32)
    result = grpc_of(triton).infer("echo", [tensor("IN", values, "FP32")])
    assert np.array_equal(result.as_numpy("OUT"), values)
    sent = httpclient.InferInput("IN", values.shape, "FP32")
    sent.set_data_from_numpy(values)
    with httpclient.InferenceServerClient(triton.http) as client:
        assert np.array_equal(client.infer("echo", [sent]).as_numpy("OUT"), values)


def test_the_shared_files_of_the_model_are_not_written_to(samples: Path, start: Start) -> None:
    start("echo", "echo")
    assert sorted(path.name for path in (samples / "echo").rglob("*")) == ["1", "config.pbtxt", "model.py"]
