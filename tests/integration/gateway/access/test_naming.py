"""The ways in which a request may name its service, and that two of them never name different ones."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import tritonclient.http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from tests.integration.gateway.doors import BOTH, CHAT, Doors
from tests.integration.gateway.stage import infer_request, refused, send

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
PREDICT = "/v1/models/mnist:predict"


@pytest.mark.parametrize("host", ["mnist.localhost", "MNIST.LocalHost:8080", "mnist.localhost:1"])
@pytest.mark.parametrize("path", [INFER, PREDICT, "/services/mnist" + INFER, "/services/mnist" + PREDICT])
def test_host_prefix_and_path_may_say_the_same(doors: Doors, host: str, path: str) -> None:
    for more in ({}, {"mm_vmodel_id": "mnist", "mm_balanced": "true"}):
        assert doors.post(path, {}, key=BOTH, Host=host, **more).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (INFER, {"Host": "small.localhost"}),
        (PREDICT, {"Host": "small.localhost:80"}),
        ("/services/small" + INFER, {}),
        ("/services/small" + PREDICT, {}),
        (INFER, {"mm_vmodel_id": "small"}),
        ("/services/mnist" + INFER, {"Host": "small.localhost"}),
        ("/services/mnist" + INFER, {"mm_vmodel_id": "small"}),
        ("/services/words" + CHAT, {}),
        (CHAT, {"Host": "words.localhost"}),
        (CHAT, {"mm_vmodel_id": "words"}),
        ("/services/llama" + CHAT, {"mm_vmodel_id": "words"}),
    ],
)
def test_two_names_for_one_request_are_a_conflict(doors: Doors, path: str, headers: dict[str, str]) -> None:
    before = doors.count()
    answer = doors.post(path, {"model": "llama", "messages": []}, key=BOTH, **headers)
    assert answer.status in (400, 404)  # 404 where the service named first has no such door
    if answer.status == 400:
        assert "names different services" in answer.error
    assert doors.count() == before


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "example.org", "mnist.localhost.example.org", "xlocalhost", "127.0.0.1"]
)
def test_any_other_host_names_nothing(doors: Doors, host: str) -> None:
    assert doors.post(INFER, {}, key=BOTH, Host=host).status == 200


@pytest.mark.parametrize("name", ["nope", "Mnist", "a.b", "_door", "-x", "mnist%20"])
def test_a_service_that_there_is_not_is_404(doors: Doors, name: str) -> None:
    assert doors.post(f"/services/{name}/v2/models/{name}/infer", {}, key=BOTH).status == 404
    if "%" not in name and name != "Mnist":  # a host has no case
        assert doors.post(INFER, {}, key=BOTH, Host=f"{name}.localhost").status in (400, 404)


def test_triton_clients_may_have_the_service_in_their_url(doors: Doors) -> None:
    client = tritonclient.http.InferenceServerClient(f"{doors.gateway.address}/services/mnist")
    headers = {"X-API-Key": BOTH}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mnist", headers=headers)
    assert client.get_model_metadata("mnist", headers=headers)["model_name"] == "/v2/models/mnist"
    assert client.infer("mnist", [], headers=headers).get_response()["model_version"] == "one"
    client.close()


def test_grpc_is_routed_by_authority_and_must_agree_with_the_message(doors: Doors) -> None:
    with doors.channel(default_authority="mnist.localhost:9000") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert send(stub.ModelInfer, infer_request("mnist"), key=BOTH).model_name == "mnist"
        assert send(stub.ModelReady, pb.ModelReadyRequest(name="mnist"), key=BOTH).ready
        assert len(send(stub.ModelStreamInfer, iter([infer_request("mnist")]), key=BOTH)) == 4
        before = doors.backend.count()
        calls: list[tuple[Any, Any]] = [
            (stub.ModelInfer, infer_request("small")),
            (stub.ModelInfer, infer_request("")),
            (stub.ModelStreamInfer, iter([infer_request("small")])),
        ]
        for call, request in calls:
            assert refused(call, request, key=BOTH)[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert doors.backend.count() == before


def test_metadata_named_host_breaks_nothing(doors: Doors) -> None:
    """TensorFlow Serving clients of KServe send it."""
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = send(stub.ModelInfer, infer_request("mnist"), key=BOTH, host="mnist.default.example.com")
        assert answer.model_name == "mnist"
