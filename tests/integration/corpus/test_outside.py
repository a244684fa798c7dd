"""The models beside the one that callers call cannot be called from outside, over any protocol and in any spelling.

What Triton itself counts shows that nothing reached them.
"""

from __future__ import annotations

import http.client
import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from services import states, wiring
from services.bridge.protos import tfserving
from services.clients.probes import exchange
from services.models import Service
from tests.corpus.repositories import CASES
from tests.integration.corpus.world import World
from tests.integration.engine_home import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.xdist_group("corpus")]
NAME = "calls-others"
[CASE] = [case for case in CASES if case.name == NAME]
STEPS = ("add", "neg", "flow")
BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
OWN_BODY = {
    "inputs": [
        {"name": "how", "shape": [1], "datatype": "BYTES", "data": ["onnx_model"]},
        *BODY["inputs"],
    ]
}
NAMINGS: dict[str, dict[str, str]] = {
    "": {},
    "header": {"mm-vmodel-id": NAME},
    "host": {"Host": f"{NAME}.localhost"},
    "both": {"mm-vmodel-id": NAME, "Host": f"{NAME}.localhost"},
}


@pytest.fixture(scope="module")
def service(world: World) -> Service:
    """It stays for the tests that call it as all others of the corpus."""
    ready = world.start(CASE)
    assert ready.state == states.READY, f"{ready.message}\n{world.log(CASE)}"
    return ready


@pytest.fixture
def untouched(service: Service) -> Iterator[None]:
    """Fails the test when one of the steps was asked for anything."""
    before = counts(service)
    yield
    assert counts(service) == before


def counts(service: Service) -> dict[str, float]:
    """Requests that each model but the main one has had, by what Triton says."""
    listeners = wiring.engine().listeners(service.replica_set.get().process_name)
    _, page = exchange.get(listeners.metrics, "/metrics", 5.0, 16 << 20)
    return {
        f"{sample.labels['model']} {family.name}": sample.value
        for family in text_string_to_metric_families(page.decode())
        if family.name in {"nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count"}
        for sample in family.samples
        if sample.labels["model"] != NAME
    }


def wait_for_counts(service: Service, before: dict[str, float], *, neg: int) -> None:
    """The service itself has called `neg` so often since, and nothing else. Triton counts after it has answered."""
    added = {"neg nv_inference_request_success": neg, "neg nv_inference_count": neg}
    expected = {name: value + added.get(name, 0) for name, value in before.items()}
    wait_for(lambda: counts(service), lambda after: after == expected, 20)


def call(world: World, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=30)
    try:
        sent = {"X-API-Key": world.key, "Content-Type": "application/json", **headers}
        connection.putrequest(method, path, skip_host="Host" in headers)
        data = b"" if body is None else json.dumps(body).encode()
        for name, value in {**sent, "Content-Length": str(len(data))}.items():
            connection.putheader(name, value)
        connection.endheaders(data)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def test_the_service_itself_is_called_by_all_its_names(world: World, service: Service) -> None:
    for headers in NAMINGS.values():
        before = counts(service)
        status, text = call(world, "POST", f"/v2/models/{NAME}/infer", OWN_BODY, **headers)
        assert status == 200 and json.loads(text)["outputs"][0]["data"] == [-1.0], text
        wait_for_counts(service, before, neg=1)


@pytest.mark.parametrize("naming", NAMINGS)
def test_no_rest_path_leads_to_a_step(world: World, untouched: None, naming: str) -> None:
    """To the gateway, all steps are names that it does not know."""
    headers, step = NAMINGS[naming], "add"
    spellings = {
        step,
        f"%{ord(step[0]):02x}{step[1:]}",
        f"{NAME}/../{step}",
        f"{NAME}%2f..%2f{step}",
        f"./{step}",
        f"/{step}",
        f"{step};a",
        f"{NAME}/versions/../../{step}",
        f"{NAME};/../{step}",
        step.upper(),
        f"{NAME}\\..\\{step}",
        f"{step}%00",
        f"{NAME},{step}",
        f"{NAME}:{step}",
        f"{NAME}/versions/1%2f..%2f..%2f{step}",
    }
    for spelled in sorted(spellings):
        for prefix in ("", f"/services/{NAME}", f"/services/{step}", f"/services/{NAME}/services/{step}"):
            for ending in ("/infer", "/versions/1/infer", "/generate", "/generate_stream"):
                status, text = call(world, "POST", f"{prefix}/v2/models/{spelled}{ending}", BODY, **headers)
                assert status in {400, 404}, (prefix, spelled, ending, text)
            for ending in ("", "/ready", "/versions/1", "/versions/1/ready", "/config", "/stats", "/versions/1/stats"):
                status, text = call(world, "GET", f"{prefix}/v2/models/{spelled}{ending}", **headers)
                assert status in {400, 404}, (prefix, spelled, ending, text)
                assert "onnxruntime" not in text and "ensemble" not in text


@pytest.mark.parametrize("naming", NAMINGS)
def test_nothing_lists_loads_or_counts_the_models(world: World, untouched: None, naming: str) -> None:
    headers = NAMINGS[naming]
    for prefix in ("", f"/services/{NAME}"):
        for method, path in (
            ("POST", "/v2/repository/index"),
            ("POST", "/v2/repository/models/add/load"),
            ("GET", "/v2/models/stats"),
            ("POST", "/v2/repository/models/add/unload"),
            ("GET", "/v2/models"),
            ("GET", f"/v2/models/{NAME}/stats"),
            ("GET", f"/v2/models/{NAME}/config"),
            ("GET", "/metrics"),
            ("GET", "/v2/trace/setting"),
        ):
            status, text = call(world, method, prefix + path, {} if method == "POST" else None, **headers)
            assert status in {400, 404}, (path, text)
    status, text = call(world, "GET", "/v1/models")
    assert status == 200 and f'"{NAME}"' in text and '"add"' not in text and '"flow"' not in text
    status, text = call(world, "GET", f"/v2/models/{NAME}")
    assert status == 200 and json.loads(text)["name"] == NAME and "flow" not in text


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("step", STEPS)
def test_no_kserve_v1_path_leads_to_a_step(world: World, untouched: None, step: str, naming: str) -> None:
    for prefix in ("", f"/services/{NAME}"):
        for name in (step, f"%{ord(step[0]):02x}{step[1:]}", f"{NAME}/../{step}", f"{NAME}:{step}"):
            path = f"{prefix}/v1/models/{name}"
            assert call(world, "POST", f"{path}:predict", {"instances": [1]}, **NAMINGS[naming])[0] in {400, 404}
            assert call(world, "GET", path, **NAMINGS[naming])[0] in {400, 404}


@pytest.mark.parametrize(
    "body",
    [
        {**OWN_BODY, "model_name": "add"},
        {**OWN_BODY, "model": "add"},
        {**OWN_BODY, "name": "add"},
        {**OWN_BODY, "parameters": {"model_name": "add", "model": "add"}},
    ],
)
def test_a_body_that_names_a_step_is_for_the_service(world: World, service: Service, body: Any) -> None:
    before = counts(service)
    status, text = call(world, "POST", f"/v2/models/{NAME}/infer", body)
    assert (status, json.loads(text).get("model_name")) in {(200, NAME), (400, None)}, text
    wait_for_counts(service, before, neg=int(status == 200))


Client = Callable[[Any, Any], Any]
GRPC_CALLS: dict[str, Client] = {
    "infer": lambda client, to: client.infer(to.step, to.inputs, headers=to.headers),
    "infer of a version": lambda client, to: client.infer(to.step, to.inputs, model_version="1", headers=to.headers),
    "metadata": lambda client, to: client.get_model_metadata(to.step, headers=to.headers),
    "metadata of a version": lambda client, to: client.get_model_metadata(to.step, "1", headers=to.headers),
    "config": lambda client, to: client.get_model_config(to.step, headers=to.headers),
    "statistics": lambda client, to: client.get_inference_statistics(to.step, headers=to.headers),
    "all statistics": lambda client, to: client.get_inference_statistics(headers=to.headers),
    "index": lambda client, to: client.get_model_repository_index(headers=to.headers),
    "load": lambda client, to: client.load_model(to.step, headers=to.headers),
    "unload": lambda client, to: client.unload_model(to.step, headers=to.headers),
}


class To:
    def __init__(self, world: World, step: str, *, by_header: bool) -> None:
        self.step = step
        self.headers = {"x-api-key": world.key, **({"mm-vmodel-id": NAME} if by_header else {})}
        self.inputs = tensors("IN" if step == "flow" else "x")


def tensors(*names: str) -> list[Any]:
    """One number each; `how` is a text."""
    inputs = []
    for name in names:
        values = np.array([b"onnx_model"], dtype=object) if name == "how" else np.ones(1, np.float32)
        inputs.append(grpcclient.InferInput(name, [1], "BYTES" if name == "how" else "FP32"))
        inputs[-1].set_data_from_numpy(values)
    return inputs


@pytest.mark.parametrize("authority", [False, True], ids=["address", "authority"])
@pytest.mark.parametrize("by_header", [False, True], ids=["message", "header"])
@pytest.mark.parametrize("what", GRPC_CALLS)
def test_no_call_of_tritons_grpc_client_reaches_a_step(
    world: World, untouched: None, what: str, by_header: bool, authority: bool
) -> None:
    options = [("grpc.default_authority", f"{NAME}.localhost")] if authority else None
    with grpcclient.InferenceServerClient(world.gateway.address, channel_args=options) as client:
        for step in STEPS:
            with pytest.raises(InferenceServerException):
                GRPC_CALLS[what](client, To(world, step, by_header=by_header))
            assert not ready(client, step, To(world, step, by_header=by_header).headers)


def ready(client: Any, step: str, headers: dict[str, str]) -> bool:
    try:
        return bool(client.is_model_ready(step, headers=headers))
    except InferenceServerException:
        return False


@pytest.mark.parametrize("by_header", [False, True], ids=["message", "header"])
@pytest.mark.parametrize("step", STEPS)
def test_no_message_of_a_stream_reaches_a_step(world: World, service: Service, step: str, by_header: bool) -> None:
    before = counts(service)
    to = To(world, step, by_header=by_header)
    answers: queue.Queue[Any] = queue.Queue()
    with grpcclient.InferenceServerClient(world.gateway.address) as client:
        client.start_stream(lambda result, error: answers.put(error or result), headers=to.headers)
        for name, inputs in ((NAME, tensors("how", "x")), (step, to.inputs), (NAME, tensors("how", "x"))):
            client.async_stream_infer(name, inputs)
        first, second, third = (answers.get(timeout=30) for _ in range(3))
        client.stop_stream()
    assert [answer.as_numpy("y").tolist() for answer in (first, third)] == [[-1.0], [-1.0]]
    assert isinstance(second, InferenceServerException)
    assert "names another model than the first of its stream" in str(second)
    wait_for_counts(service, before, neg=2)
    after = counts(service)
    with grpcclient.InferenceServerClient(world.gateway.address) as client:
        client.start_stream(lambda result, error: answers.put(error or result), headers=to.headers)
        client.async_stream_infer(step, to.inputs)
        assert isinstance(answers.get(timeout=30), InferenceServerException)
        client.stop_stream(cancel_requests=True)
    assert counts(service) == after


@pytest.mark.parametrize("by_header", [False, True], ids=["message", "header"])
@pytest.mark.parametrize("method", ["Predict", "GetModelMetadata"])
@pytest.mark.parametrize("step", STEPS)
def test_no_call_of_tensorflow_serving_reaches_a_step(
    world: World, untouched: None, step: str, method: str, by_header: bool
) -> None:
    request = tfserving.PredictRequest() if method == "Predict" else tfserving.GetModelMetadataRequest()
    request.model_spec.name = step
    metadata = [("x-api-key", world.key), *([("mm-vmodel-id", NAME)] if by_header else [])]
    with grpc.insecure_channel(world.gateway.address) as channel:
        send = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            send(request.SerializeToString(), metadata=metadata, timeout=30)
    assert caught.value.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}
