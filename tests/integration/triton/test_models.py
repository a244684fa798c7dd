"""The sample models on the real Triton, started as the Triton framework says."""

from __future__ import annotations

import json
import queue
import urllib.error
import urllib.request
from collections.abc import Iterator
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
from services.specs import Tensor
from tests.servers.triton import OpenTriton, RunningTriton, context_for, grpc_input, runtime_root, serve

pytestmark = pytest.mark.integration

SVM = "example-mnist-isvc"
Client = grpcclient.InferenceServerClient


@pytest.fixture(scope="module")
def svm(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """In a server of its own, as replicas are: closed to all but callers."""
    with serve(context_for(SVM, samples / "mnist-svm", tmp_path_factory.mktemp("svm"), runtime_root())) as triton:
        yield triton


@pytest.fixture(scope="module")
def onnx(samples: Path, opened: OpenTriton) -> Iterator[grpcclient.InferenceServerClient]:
    with opened.serve("onnx", samples / "mnist-onnx") as triton, Client(triton.grpc) as client:
        yield client


def post(url: str, document: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def pixels(rows: int = 1) -> Any:
    return np.array([PIXELS] * rows, dtype=np.float32)


def test_the_digits_svc_answers_8_over_rest_and_grpc(svm: RunningTriton) -> None:
    sent = {"inputs": [{"name": "predict", "shape": [1, 64], "datatype": "FP32", "data": PIXELS}]}
    answer = post(f"http://{svm.http}/v2/models/{SVM}/infer", sent)
    assert (answer["model_name"], answer["outputs"][0]["data"]) == (SVM, [8.0])
    assert answer["outputs"][0]["shape"] == [1]
    with Client(svm.grpc) as client:
        assert client.infer(SVM, [grpc_input("predict", pixels())]).as_numpy("predict").tolist() == [8.0]


def test_the_probe_sees_it_ready_and_reads_its_metadata(svm: RunningTriton) -> None:
    address = svm.listeners.http
    assert kserve_v2.probe(address, SVM) == kserve_v2.ProbeResult(True, "")
    assert "other" in kserve_v2.probe(address, "other").message
    metadata = kserve_v2.model_metadata(address, SVM)
    assert metadata.inputs == (Tensor("predict", "FP32", (-1, 64)),)
    assert metadata.versions == ("1",)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"models/{SVM}/config", None),
        ("models/stats", None),
        ("logging", None),
        ("trace/setting", None),
        ("systemsharedmemory/status", None),
        ("cudasharedmemory/status", None),
        ("repository/index", b"{}"),
        (f"repository/models/{SVM}/load", b"{}"),
        (f"repository/models/{SVM}/unload", b"{}"),
    ],
)
def test_what_only_an_operator_may_ask_is_closed_over_http(svm: RunningTriton, path: str, body: bytes | None) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{svm.http}/v2/{path}", body, timeout=5)
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
def test_what_only_an_operator_may_ask_is_closed_over_grpc(svm: RunningTriton, call: str) -> None:
    with Client(svm.grpc) as client, pytest.raises(InferenceServerException, match="restricted"):
        getattr(client, call)()


def test_the_onnx_model_answers_8_and_only_what_is_asked_for(onnx: Client) -> None:
    result = onnx.infer("onnx", [grpc_input("predict", pixels(2))])
    assert result.as_numpy("label").tolist() == [8, 8]
    assert result.as_numpy("probabilities").argmax(axis=1).tolist() == [8, 8]
    requested = [grpcclient.InferRequestedOutput("probabilities")]
    result = onnx.infer("onnx", [grpc_input("predict", pixels())], outputs=requested)
    assert [output.name for output in result.get_response().outputs] == ["probabilities"]


def test_the_onnx_backend_answers_a_failing_request_with_its_reason_and_lives_on(onnx: Client) -> None:
    with pytest.raises(InferenceServerException, match="unexpected shape for input 'predict'"):
        onnx.infer("onnx", [grpc_input("predict", pixels()[:, :60])])
    with pytest.raises(InferenceServerException, match="FP32"):
        onnx.infer("onnx", [grpc_input("predict", pixels().astype(np.int32), "INT32")])
    assert onnx.infer("onnx", [grpc_input("predict", pixels())]).as_numpy("label").tolist() == [8]


def test_the_console_reads_the_same_onnx_inputs_and_outputs_as_triton(
    opened: OpenTriton, onnx: Client, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes((samples / "mnist-onnx" / "1" / "model.onnx").read_bytes())
    described = describe(tmp_path, {})
    metadata = kserve_v2.model_metadata(opened.listeners.http, "onnx")
    assert (described.inputs, described.outputs) == (metadata.inputs, metadata.outputs)


def test_a_bare_onnx_file_with_batching_from_the_form_is_served(
    opened: OpenTriton, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "digits.onnx").write_bytes((samples / "mnist-onnx" / "1" / "model.onnx").read_bytes())
    config = {"max_batch_size": 8, "instances": 2, "dynamic_batching": {"preferred_batch_size": [4]}}
    with opened.serve("bare", tmp_path, **config) as triton, Client(triton.grpc) as client:
        assert list(client.get_model_metadata("bare").inputs[0].shape) == [-1, 64]
        labels = client.infer("bare", [grpc_input("predict", pixels(3))]).as_numpy("label")
        assert labels.ravel().tolist() == [8, 8, 8]
        with pytest.raises(InferenceServerException, match="batch"):
            client.infer("bare", [grpc_input("predict", pixels(9))])


def test_one_request_streams_four_responses(opened: OpenTriton, samples: Path) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with opened.serve("streamed", samples / "repeat") as triton, Client(triton.grpc) as client:
        client.start_stream(callback=lambda result, error: answers.put(error or int(result.as_numpy("OUT")[0])))
        client.async_stream_infer("streamed", [grpc_input("IN", np.array([3, 1, 4, 1], dtype=np.int32), "INT32")])
        assert [answers.get(timeout=10) for _ in range(4)] == [3, 1, 4, 1]
        client.stop_stream()


def test_a_tensor_of_16_mib_passes_and_the_files_of_its_model_are_not_written_to(
    opened: OpenTriton, samples: Path
) -> None:
    values = np.arange(4 << 20, dtype=np.float32)
    sent = httpclient.InferInput("IN", values.shape, "FP32")
    sent.set_data_from_numpy(values)
    with opened.serve("large", samples / "echo") as triton:
        for client, given in (
            (Client(triton.grpc), grpc_input("IN", values)),
            (httpclient.InferenceServerClient(triton.http), sent),
        ):
            with client:
                assert np.array_equal(client.infer("large", [given]).as_numpy("OUT"), values)
    assert sorted(path.name for path in (samples / "echo").rglob("*")) == ["1", "config.pbtxt", "model.py"]
