"""What a service asks for on its own: a header for the key, headers that must be there, less payload, less time."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from tests.integration.gateway.doors import BOTH, Doors
from tests.integration.gateway.stage import infer_request, refused, send
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
PARAMETERS = {"x_lab": "7", "x_site": "a b"}
INFER = "/v2/models/own/infer"
MIB = 1 << 20


def test_the_own_header_takes_the_key(doors: Doors) -> None:
    for headers in (
        {"x_lab_key": BOTH},
        {"x_lab_key": f"Bearer {BOTH}"},
        {"x_lab_key": BOTH, "Authorization": "Bearer x"},
        {"X_API_Key": BOTH},
        {"Authorization": f"Bearer {BOTH}"},
    ):
        assert doors.gateway.call("POST", INFER, b"{}", **headers, **PARAMETERS).status == 200
    assert not {"x-lab-key", "x-api-key", "authorization"} & set(doors.backend.last()["headers"])
    for key, status in (("isk_bad", 401), (snapshots.STRANGER, 403)):
        assert doors.gateway.call("POST", INFER, b"{}", x_lab_key=key, **PARAMETERS).status == status
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert send(stub.ModelInfer, infer_request("own"), x_lab_key=BOTH, **PARAMETERS).model_name == "own"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_lab": "7"},
        {"x_lab": "7", "x_site": "b"},
        {"x_lab": "77", "x_site": "a b"},
        {"x_lab": "", "x_site": "a b"},
    ],
)
def test_the_headers_that_a_service_asks_for_must_be_there(doors: Doors, headers: dict[str, str]) -> None:
    before = doors.count()
    for path in (INFER, "/v1/models/own:predict"):
        answer = doors.gateway.call("POST", path, b"{}", X_API_Key=BOTH, **headers)
        assert (answer.status, "it must have x-lab, x-site, each" in answer.error) == (401, True)
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        code, message, _ = refused(stub.ModelInfer, infer_request("own"), key=BOTH, **headers)
        assert (code, message) == (grpc.StatusCode.UNAUTHENTICATED, answer.error)
    assert doors.count() == before


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(total // 65536):
        yield bytes(65536)


def test_a_service_may_take_less_than_the_gateway(doors: Doors) -> None:
    path, limit = "/v2/models/small/infer", "The request is larger than the limit of the service small, 1 MiB."
    before = doors.backend.count()
    raw = {"Content_Type": "application/octet-stream"}
    for body, headers in ((bytes(2 * MIB), {}), (bytes(2 * MIB), raw), (chunks(2 * MIB), {}), (chunks(2 * MIB), raw)):
        answer = doors.gateway.call("POST", path, body, X_API_Key=BOTH, **headers)
        assert (answer.status, answer.error) == (413, limit)
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for mm in ({}, {"mm_vmodel_id": "small"}):
            code, message, _ = refused(stub.ModelInfer, infer_request("small", 2 * MIB), key=BOTH, **mm)
            assert (code, message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, limit)
        assert doors.backend.count() == before
        assert send(stub.ModelInfer, infer_request("small", MIB), key=BOTH).id == str(MIB)
        requests = iter([infer_request("small", size) for size in (4, 2 * MIB, 4)])
        named = [answer.infer_response.model_name for answer in send(stub.ModelStreamInfer, requests, key=BOTH)]
        assert named == ["small"] * 4 + [f"a message larger than the limit of {MIB} bytes"] * 4 + ["small"] * 4
    for body in (bytes(MIB), chunks(MIB)):
        assert doors.gateway.call("POST", path, body, X_API_Key=BOTH).status == 200


def test_a_service_may_have_less_time(doors: Doors) -> None:
    slow = infer_request("small")
    slow.parameters["sleep_ms"].int64_param = 2000
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        code, message, _ = refused(stub.ModelInfer, slow, key=BOTH)
        assert (code, message) == (grpc.StatusCode.DEADLINE_EXCEEDED, "The service small did not answer in time.")


def test_raw_tensors_are_marked_for_triton_and_json_is_not(doors: Doors) -> None:
    for kind, length in (
        ("application/octet-stream", "0"),
        ("application/json", None),
        ("APPLICATION/Octet-Stream", "0"),
    ):
        answer = doors.gateway.call("POST", "/v2/models/mnist/infer", b"\x00" * 8, X_API_Key=BOTH, Content_Type=kind)
        assert answer.status == 200
        assert doors.backend.last()["headers"].get("inference-header-content-length") == length
    headers = {"X_API_Key": BOTH, "Content_Type": "application/octet-stream"}
    for body, length in (
        (b'{"inputs":[]}', None),
        (b'\n {"a":0,"inputs" : [1]} ', None),
        (b'{"inputs":[]', "0"),
        (b"{", "0"),
        (b'{"a":{"inputs":1}}', "0"),
        (b' "inputs"', "0"),
        (b"", "0"),
        # What is no request is a raw tensor, and the backend told so, which then reads no JSON in it.
        (b'{"input\\u0073":[{"parameters":{"shared_memory_region":"r"}}]}', "0"),
    ):
        assert doors.gateway.call("POST", "/v2/models/mnist/infer", body, **headers).status == 200
        assert doors.backend.last()["headers"].get("inference-header-content-length") == length
    connection = http.client.HTTPConnection("127.0.0.1", doors.gateway.port, timeout=5)
    head = {"X-API-Key": BOTH, "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "4"}
    connection.request("POST", "/v2/models/mnist/infer", b"{}  abcd", head)
    assert connection.getresponse().status == 200
    assert doors.backend.last()["headers"]["inference-header-content-length"] == "4"
    connection.close()
