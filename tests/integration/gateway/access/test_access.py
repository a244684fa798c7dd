"""Who gets through the gateway, to what, and how a refusal looks in each protocol. Real Envoy, real clients."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from tests.integration.gateway.stage import Stage, infer_request, refused, send
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
GOOD = [snapshots.ADMIN, snapshots.TEAM, snapshots.NAMED]
BAD = ["", "isk_nonsense", snapshots.TEAM + "0", snapshots.TEAM[:-1], "x" * 5000, "keyless", "keyless-call"]


@pytest.mark.parametrize("key", GOOD)
def test_a_key_with_a_grant_passes_over_rest(stage: Stage, key: str) -> None:
    for headers in ({"X_API_Key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer  {key}"}):
        assert stage.gateway.call("POST", INFER, b"{}", **headers).status == 200
    assert stage.gateway.call("POST", "/v2/models/mnist/versions/1/infer", b"{}", X_API_Key=key).status == 200
    assert stage.gateway.call("GET", "/v2/models/mnist", X_API_Key=key).status == 200
    assert stage.gateway.call("GET", "/v2/models/mnist/ready", X_API_Key=key).status == 200
    assert stage.gateway.call("GET", "/v2/models/mnist/versions/1/ready", X_API_Key=key).status == 200


@pytest.mark.parametrize("key", GOOD)
def test_a_key_with_a_grant_passes_over_grpc(stub: Any, key: str) -> None:
    assert send(stub.ModelInfer, infer_request("mnist"), key=key).model_name == "mnist"
    assert send(stub.ModelInfer, infer_request("mnist"), authorization=f"Bearer {key}").model_name == "mnist"
    assert send(stub.ModelInfer, infer_request("mnist"), key=key, mm_vmodel_id="mnist").model_name == "mnist"
    assert send(stub.ModelMetadata, pb.ModelMetadataRequest(name="mnist"), key=key).name == "mnist"
    assert send(stub.ModelReady, pb.ModelReadyRequest(name="mnist"), key=key).ready


@pytest.mark.parametrize("key", BAD)
def test_without_a_good_key_it_is_401_and_unauthenticated(stage: Stage, stub: Any, key: str) -> None:
    headers = {"X_API_Key": key} if key else {}
    answer = stage.gateway.call("POST", INFER, b"{}", **headers)
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "API key" in answer.error
    code, message, _ = refused(stub.ModelInfer, infer_request("mnist"), key=key)
    assert (code, message) == (grpc.StatusCode.UNAUTHENTICATED, answer.error)


def test_a_key_in_the_query_counts_for_nothing(stage: Stage) -> None:
    for name in ("api_key", "x-api-key", "key", "access_token"):
        assert stage.gateway.call("POST", f"{INFER}?{name}={snapshots.TEAM}", b"{}").status == 401


@pytest.mark.parametrize("key", [snapshots.STRANGER, snapshots.READER])
def test_a_key_without_a_grant_is_403_and_permission_denied(stage: Stage, stub: Any, key: str) -> None:
    answer = stage.gateway.call("POST", INFER, b"{}", X_API_Key=key)
    assert (answer.status, answer.error) == (403, "This API key may not call the service mnist.")
    assert refused(stub.ModelInfer, infer_request("mnist"), key=key)[0] is grpc.StatusCode.PERMISSION_DENIED
    code, _, _ = refused(stub.ModelStreamInfer, iter([infer_request("mnist")]), key=key)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    code, _, _ = refused(stub.ModelInfer, infer_request("mnist"), key=key, mm_vmodel_id="mnist")
    assert code is grpc.StatusCode.PERMISSION_DENIED


def test_a_key_for_one_service_cannot_call_another_of_its_team(stage: Stage, stub: Any) -> None:
    assert stage.gateway.call("POST", "/v2/models/slow/infer", b"{}", X_API_Key=snapshots.NAMED).status == 403
    assert refused(stub.ModelInfer, infer_request("asr"), key=snapshots.TEAM)[0] is grpc.StatusCode.PERMISSION_DENIED


def test_an_unknown_service_is_named_to_those_with_a_key_only(stage: Stage, stub: Any) -> None:
    answer = stage.gateway.call("POST", "/v2/models/nope/infer", b"{}", X_API_Key=snapshots.TEAM)
    assert (answer.status, answer.error) == (404, "No service is named nope.")
    code, message, _ = refused(stub.ModelInfer, infer_request("nope"), key=snapshots.TEAM)
    assert (code, message) == (grpc.StatusCode.NOT_FOUND, answer.error)
    assert stage.gateway.call("POST", "/v2/models/nope/infer", b"{}").status == 401
    assert refused(stub.ModelInfer, infer_request("nope"))[0] is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "model", ["Mnist", "MNIST", "mnist ", "_conflict", "_door", "*", "mnist:80", "mn\xefst", "m" * 300]
)
def test_only_the_exact_name_reaches_a_service(stage: Stage, stub: Any, model: str) -> None:
    before = stage.count()
    assert refused(stub.ModelInfer, infer_request(model), key=snapshots.ADMIN)[0] is grpc.StatusCode.NOT_FOUND
    assert stage.count() == before


def test_a_message_without_a_model_is_an_invalid_argument(stub: Any) -> None:
    code, message, _ = refused(stub.ModelInfer, infer_request(""), key=snapshots.ADMIN)
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "The request names no model.")


def test_the_header_and_the_request_must_name_the_same_model(stage: Stage, stub: Any) -> None:
    before = stage.count()
    answer = stage.gateway.call("POST", INFER, b"{}", X_API_Key=snapshots.ADMIN, mm_vmodel_id="asr")
    assert answer.status == 400
    assert "mm-vmodel-id" in answer.error
    for header, model in (("asr", "mnist"), ("mnist", "asr"), ("mnist", ""), ("nope", "mnist")):
        code, message, _ = refused(stub.ModelInfer, infer_request(model), key=snapshots.ADMIN, mm_vmodel_id=header)
        assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), message
    assert stage.count() == before


def test_a_service_that_is_not_ready_says_what_it_is_doing(stage: Stage, stub: Any) -> None:
    answer = stage.gateway.call("POST", "/v2/models/slow/infer", b"{}", X_API_Key=snapshots.TEAM)
    assert (answer.status, answer.error) == (503, "The service slow is not ready.")
    assert int(answer.headers["retry-after"]) > 0
    code, message, headers = refused(stub.ModelInfer, infer_request("slow"), key=snapshots.TEAM)
    assert (code, message) == (grpc.StatusCode.UNAVAILABLE, answer.error)
    assert int(headers["retry-after"]) > 0
    assert stage.gateway.call("POST", "/v2/models/slow/infer", b"{}").status == 401


def test_a_public_service_needs_no_key(stage: Stage, stub: Any) -> None:
    assert stage.gateway.call("POST", "/v2/models/open/infer", b"{}").status == 200
    assert send(stub.ModelInfer, infer_request("open")).model_name == "open"
    assert len(send(stub.ModelStreamInfer, iter([infer_request("open")]))) == 4
    assert send(stub.ModelInfer, infer_request("open"), key=snapshots.STRANGER).model_name == "open"


def test_without_a_key_only_a_little_is_held_before_the_service_is_known(stub: Any) -> None:
    code, message, _ = refused(stub.ModelInfer, infer_request("open", 2 << 20))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1 MiB" in message
    assert send(stub.ModelInfer, infer_request("open", 2 << 20), mm_vmodel_id="open").id == str(2 << 20)


def test_a_limited_key_is_429_over_all_services_and_protocols(stage: Stage, stub: Any) -> None:
    statuses = [stage.gateway.call("GET", "/v2/models/mnist", X_API_Key=snapshots.LIMITED).status for _ in range(2)]
    assert statuses == [200, 200]
    assert send(stub.ModelInfer, infer_request("mnist"), key=snapshots.LIMITED).model_name == "mnist"
    answer = stage.gateway.call("POST", INFER, b"{}", X_API_Key=snapshots.LIMITED)
    assert answer.status == 429
    assert "rate limit" in answer.error
    assert answer.headers["retry-after"] == "20"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    code, message, headers = refused(stub.ModelInfer, infer_request("mnist"), key=snapshots.LIMITED)
    assert (code, message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, answer.error)
    assert headers["retry-after"] == "20"
    assert stage.gateway.call("POST", INFER, b"{}", X_API_Key=snapshots.TEAM).status == 200


def test_triton_clients_pass_and_see_the_refusals_in_words(stage: Stage) -> None:
    http = tritonclient.http.InferenceServerClient(stage.gateway.address)
    assert http.is_server_live()
    assert http.is_server_ready()
    assert http.is_model_ready("mnist", headers={"X-API-Key": snapshots.TEAM})
    with pytest.raises(InferenceServerException, match="API key"):
        http.get_model_metadata("mnist")
    http.close()
    rpc = tritonclient.grpc.InferenceServerClient(stage.gateway.address)
    assert rpc.is_server_live()
    assert rpc.is_server_ready()
    assert rpc.get_server_metadata().name == "inference-console"
    assert rpc.is_model_ready("mnist", headers={"x-api-key": snapshots.TEAM})
    with pytest.raises(InferenceServerException, match="may not call the service mnist"):
        rpc.get_model_metadata("mnist", headers={"x-api-key": snapshots.STRANGER})
    rpc.close()


def test_health_is_answered_at_the_door_in_grpc_too(stage: Stage) -> None:
    with stage.channel() as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5) == b"\x08\x01"


def test_a_spoofed_internal_header_changes_nothing(stage: Stage) -> None:
    forged = {
        "x_key_digest": "keyless",
        "x_caller": "adminadmin00;infer;all;",
        "x_service": "mnist",
        "x_model": "mnist",
    }
    assert stage.gateway.call("POST", INFER, b"{}", **forged).status == 401
    assert stage.gateway.call("POST", INFER, b"{}", **forged, X_API_Key=snapshots.STRANGER).status == 403
    assert stage.gateway.call("GET", "/v2/repository/index", **forged, X_API_Key=snapshots.ADMIN).status == 404


def test_the_backend_sees_neither_the_key_nor_internal_headers(stage: Stage, stub: Any) -> None:
    forged = {
        "x_caller": "a",
        "x_vertex_ai_triton_redirect": "/v2/repository/index",
        "triton_grpc_protocol_x": "s",
        "x_envoy_upstream_rq_timeout_ms": "1",
        "x_forwarded_host": "evil",
        "cookie": "sessionid=1",
        "X_API_Key": snapshots.TEAM,
        "Authorization": "Bearer other",
        "Host": "evil.example",
    }
    assert stage.gateway.call("POST", INFER, b"{}", **forged).status == 200
    send(stub.ModelInfer, infer_request("mnist"), key=snapshots.TEAM, x_caller="a", triton_grpc_protocol_x="secret")
    mine = [*stage.first.seen(-1), *stage.second.seen(-1)]
    allowed = {
        "host",
        "accept-encoding",
        "content-length",
        "x-request-id",
        "user-agent",
        "grpc-accept-encoding",
        "content-type",
        "te",
        "grpc-timeout",
        ":authority",
    }
    for call in mine:
        assert set(call["headers"]) <= allowed
        assert "evil" not in str(call)
