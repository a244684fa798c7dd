"""From the sample files to answers, with clients that we did not write: curl and tritonclient."""

from __future__ import annotations

import json
import queue
import shlex
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from console.first_run import example
from tests.integration.live import Live, send

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]
MIB = 1 << 20
DIGITS = np.array([example.PIXELS], np.float32)


SAMPLES = {"digits-onnx": "mnist-onnx", "stream": "repeat", "echo": "echo"}


@pytest.fixture(scope="module")
def at_once(live: Live) -> list[int]:
    """The other samples as services, which all start at once. The statuses of requests as soon as `echo` is READY."""
    for name, path in SAMPLES.items():
        live.create(name, path)
    live.wait("echo")
    return [live.infer("echo", echo_body(1)).status for _ in range(5)]


@pytest.fixture(scope="module")
def models(live: Live, at_once: list[int]) -> Iterator[Live]:
    for name in SAMPLES:
        live.wait(name)
    yield live
    live.delete(*SAMPLES)


def echo_body(count: int) -> dict[str, object]:
    return {"inputs": [{"name": "IN", "shape": [count], "datatype": "FP32", "data": [1.5] * count}]}


def grpc_client(live: Live) -> grpcclient.InferenceServerClient:
    return grpcclient.InferenceServerClient(live.grpc_target)


def metadata(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def digits_over_grpc(live: Live, headers: dict[str, str]) -> grpcclient.InferResult:
    tensor = grpcclient.InferInput("predict", [1, 64], "FP32")
    tensor.set_data_from_numpy(DIGITS)
    with grpc_client(live) as client:
        return client.infer(example.NAME, [tensor], headers=headers)


def test_the_printed_curl_line_answers_8(live: Live) -> None:
    line = next(line for line in live.stack.read_output().splitlines() if "curl -s" in line)
    command = shlex.split(line[line.index("curl") :])
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout)["outputs"][0]["data"] == [8.0]


def test_the_seeds_rest_request_answers_8(live: Live) -> None:
    answer = live.infer()
    assert answer.status == 200
    assert answer.body["model_name"] == example.NAME
    assert answer.body["outputs"] == [{"name": "predict", "datatype": "FP32", "shape": [1], "data": [8.0]}]


def test_the_seeds_grpc_request_answers_8_on_the_same_port(live: Live) -> None:
    assert digits_over_grpc(live, metadata(live.key)).as_numpy("predict").tolist() == [8.0]


def test_without_a_key_nobody_is_let_in(live: Live) -> None:
    assert live.infer(key="").status == 401
    with pytest.raises(InferenceServerException) as caught:
        digits_over_grpc(live, {})
    assert caught.value.status() == "StatusCode.UNAUTHENTICATED"


def test_a_service_that_is_shown_ready_answers_at_once(at_once: list[int]) -> None:
    assert at_once == [200] * 5


def test_another_services_key_is_refused(models: Live) -> None:
    new_key = models.api("keys/", {"name": "echo only", "scopes": ["infer"], "services": ["echo"], "team": "default"})
    assert new_key.status == 201, new_key.body
    key = new_key.body["key"]
    models.until(lambda: models.infer("echo", echo_body(1), key=key).status, lambda status: status == 200)
    assert models.infer(key=key).status == 403
    with pytest.raises(InferenceServerException) as caught:
        digits_over_grpc(models, metadata(key))
    assert caught.value.status() == "StatusCode.PERMISSION_DENIED"


def test_onnx_answers_over_both_protocols(models: Live) -> None:
    body = {"inputs": [{"name": "predict", "shape": [1, 64], "datatype": "FP32", "data": example.PIXELS}]}
    outputs = {output["name"]: output for output in models.infer("digits-onnx", body).body["outputs"]}
    assert outputs["label"]["data"] == [8]
    tensor = grpcclient.InferInput("predict", [1, 64], "FP32")
    tensor.set_data_from_numpy(DIGITS)
    with grpc_client(models) as client:
        result = client.infer("digits-onnx", [tensor], headers=metadata(models.key))
    assert result.as_numpy("label").tolist() == [8]
    assert result.as_numpy("probabilities").shape == (1, 10)


def test_one_streamed_request_gets_four_responses(models: Live) -> None:
    answers: queue.Queue[tuple[grpcclient.InferResult | None, Exception | None]] = queue.Queue()
    tensor = grpcclient.InferInput("IN", [4], "INT32")
    tensor.set_data_from_numpy(np.array([3, 1, 4, 1], np.int32))
    with grpc_client(models) as client:
        client.start_stream(lambda result, error: answers.put((result, error)), headers=metadata(models.key))
        client.async_stream_infer("stream", [tensor])
        results = [answers.get(timeout=20) for _ in range(4)]
        client.stop_stream()
    assert all(error is None for _, error in results), results
    assert [int(result.as_numpy("OUT")[0]) for result, _ in results if result] == [3, 1, 4, 1]


def big(mebibytes: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.arange(mebibytes * MIB // 4, dtype=np.float32)


def echo_over_http(live: Live, data: np.ndarray[tuple[int], np.dtype[np.float32]]) -> httpclient.InferResult:
    tensor = httpclient.InferInput("IN", list(data.shape), "FP32")
    tensor.set_data_from_numpy(data, binary_data=True)
    outputs = [httpclient.InferRequestedOutput("OUT", binary_data=True)]
    with httpclient.InferenceServerClient(live.grpc_target, network_timeout=60, connection_timeout=60) as client:
        return client.infer("echo", [tensor], outputs=outputs, headers={"x-api-key": live.key})


def echo_over_grpc(live: Live, data: np.ndarray[tuple[int], np.dtype[np.float32]]) -> grpcclient.InferResult:
    tensor = grpcclient.InferInput("IN", list(data.shape), "FP32")
    tensor.set_data_from_numpy(data)
    with grpc_client(live) as client:
        return client.infer("echo", [tensor], headers=metadata(live.key))


@pytest.mark.parametrize("call", [echo_over_http, echo_over_grpc])
def test_a_tensor_of_16_mib_passes(models: Live, call: object) -> None:
    data = big(16)
    assert callable(call)
    assert np.array_equal(call(models, data).as_numpy("OUT"), data)


@pytest.mark.parametrize("call", [echo_over_http, echo_over_grpc])
def test_a_tensor_of_17_mib_is_refused_with_the_limit_named(models: Live, call: object) -> None:
    assert callable(call)
    with pytest.raises(InferenceServerException, match="16 MiB"):
        call(models, big(17))


def test_metadata_and_readiness_are_those_of_the_model(models: Live) -> None:
    with grpc_client(models) as client:
        assert client.is_model_ready("echo", headers=metadata(models.key))
        assert client.get_model_metadata("echo", headers=metadata(models.key)).inputs[0].datatype == "FP32"
        assert client.is_server_ready(headers=metadata(models.key))
    answer = send(f"{models.gateway}/v2/models/echo", headers={"X-API-Key": models.key})
    assert answer.body["inputs"][0]["name"] == "IN"
    assert send(f"{models.gateway}/v2/health/ready").status == 200


def test_tritons_own_words_on_a_wrong_shape_or_datatype_reach_the_caller(models: Live) -> None:
    wrong_shape = {"inputs": [{"name": "IN", "shape": [3], "datatype": "FP32", "data": [1]}]}
    wrong_type = {"inputs": [{"name": "IN", "shape": [1], "datatype": "INT64", "data": [1]}]}
    for body, words in ((wrong_shape, "Shape does not match"), (wrong_type, "INT64")):
        answer = models.infer("echo", body)
        assert answer.status in {400, 500}  # Triton's choice: 500 for data that does not fill its shape
        assert words in answer.body["error"]
