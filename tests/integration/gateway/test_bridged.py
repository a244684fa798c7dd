"""The doors that lead to the bridge: what it is told of a call, and that nobody else can tell it so."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from tests.integration.gateway.doors import BOTH, KEY, TOKENS, Doors
from tests.integration.gateway.stage import infer_request, refused
from tests.servers.gateway.rig import until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
V2 = "/inference.GRPCInferenceService/"
TF = "/tensorflow.serving.PredictionService/"
FORGED = {"x_console_caller": "admin;infer;all;", "x_console_service": "mnist", "x_console_more": "x"}


def predict_request(name: str, tail: bytes = b"") -> bytes:
    """A PredictRequest of which only model_spec.name is set, and whatever follows."""
    spec = b"\x0a" + bytes([len(name)]) + name.encode()
    return b"\x0a" + bytes([len(spec)]) + spec + tail


def call(doors: Doors, method: str, message: bytes, key: str = BOTH, **metadata: str) -> Any:
    pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    with doors.channel() as channel:
        callable_of = channel.unary_stream(method) if method.endswith("Stream") else channel.unary_unary(method)
        answer = callable_of(message, metadata=(("x-api-key", key), *pairs), timeout=10)
        return list(answer) if method.endswith("Stream") else answer


@pytest.mark.parametrize("method", ["Predict", "GetModelMetadata"])
def test_tfserving_calls_are_routed_by_their_message(doors: Doors, method: str) -> None:
    tensors = b"\x12\x08" + b"\x0a\x01x\x12\x03abc"  # a field that is not described
    assert call(doors, TF + method, predict_request("mnist", tensors), **FORGED) == b"\x0a\x06bridge"
    seen = doors.bridge.last()
    assert (seen["call"], seen["headers"]["x-console-service"]) == (TF + method, "mnist")
    assert seen["headers"]["x-console-caller"] == "bothteams000;infer;all;"
    assert not {"x-api-key", "x-caller", "x-service", "x-checked", "x-console-more"} & set(seen["headers"])
    assert seen["headers"]["x-request-id"]


@pytest.mark.parametrize("method", ["ModelInfer", "ModelInferStream", "ModelMetadata", "ModelReady"])
def test_calls_of_text_services_go_to_the_bridge(doors: Doors, method: str) -> None:
    named = pb.ModelReadyRequest(name="llama") if "Infer" not in method else infer_request("llama")
    answer = call(doors, V2 + method, named.SerializeToString(), key=KEY)
    assert answer == ([b"\x0a\x06bridge"] * 3 if method.endswith("Stream") else b"\x0a\x06bridge")
    assert doors.bridge.last()["headers"]["x-console-service"] == "llama"


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/llama", "llama"),
        ("GET", "/v1/models/llama:french", "llama"),
        ("GET", "/services/llama/v1/models", "llama"),
        ("GET", "/v1/models/mnist", "mnist"),
        ("GET", "/v2/models/llama", "llama"),
        ("GET", "/v2/models/llama/ready", "llama"),
        ("POST", "/v1/models/mnist:predict", "mnist"),
        ("POST", "/services/mnist/v1/models/mnist:predict", "mnist"),
    ],
)
def test_rest_calls_go_to_the_bridge_with_what_it_needs(doors: Doors, method: str, path: str, service: str) -> None:
    answer = doors.gateway.call(method, path, b"{}" if method == "POST" else None, X_API_Key=BOTH, **FORGED)
    assert answer.status == 200
    seen = doors.bridge.last()
    assert seen["call"] == f"{method} {path.removeprefix('/services/llama').removeprefix('/services/mnist')}"
    assert seen["headers"].get("x-console-service") == service
    assert seen["headers"]["x-console-caller"] == "bothteams000;infer;all;"
    assert not {"x-api-key", "authorization", "x-caller", "x-console-more"} & set(seen["headers"])


def test_the_catalogue_without_a_key_is_that_of_public_services(doors: Doors) -> None:
    assert doors.gateway.call("GET", "/v1/models").status == 200
    assert doors.bridge.last()["headers"]["x-console-caller"] == "keyless-call;"
    for key, status in (("isk_bad", 401), (snapshots.READER, 403)):
        assert doors.gateway.call("GET", "/v1/models", X_API_Key=key).status == status


def test_the_bridge_is_not_asked_for_those_who_may_not(doors: Doors) -> None:
    before = doors.bridge.count()
    cases = [
        ("", grpc.StatusCode.UNAUTHENTICATED),
        ("isk_bad", grpc.StatusCode.UNAUTHENTICATED),
        (snapshots.STRANGER, grpc.StatusCode.PERMISSION_DENIED),
    ]
    with doors.channel() as channel:
        for key, status in cases:
            assert refused(channel.unary_unary(TF + "Predict"), predict_request("mnist"), key=key)[0] is status
            infer = infer_request("llama").SerializeToString()
            assert refused(channel.unary_unary(V2 + "ModelInfer"), infer, key=key)[0] is status
        for name, code in (("nope", grpc.StatusCode.NOT_FOUND), ("", grpc.StatusCode.INVALID_ARGUMENT)):
            assert refused(channel.unary_unary(TF + "Predict"), predict_request(name), key=BOTH)[0] is code
    for key, rest_status in (("isk_bad", 401), (snapshots.STRANGER, 403)):
        answer = doors.gateway.call("POST", "/v1/models/mnist:predict", b"{}", X_API_Key=key)
        assert (answer.status, isinstance(answer.error, str)) == (rest_status, True)
    assert doors.bridge.count() == before


def test_a_service_says_which_doors_it_has(doors: Doors) -> None:
    before = doors.count()
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls: list[tuple[Any, Any, str]] = [
            (stub.ModelStreamInfer, iter([infer_request("llama")]), "ModelInferStream"),
            (channel.unary_unary(TF + "Predict"), predict_request("llama"), "/v1/chat/completions"),
            (channel.unary_stream(V2 + "ModelInferStream"), infer_request("mnist").SerializeToString(), ":predict"),
        ]
        for each, request, word in calls:
            code, message, _ = refused(each, request, key=BOTH)
            assert (code, word in message) == (grpc.StatusCode.UNIMPLEMENTED, True), message
    assert doors.count() == before


def counted(doors: Doors, path: str) -> list[dict[str, str]]:
    """Lines of the access log at that path for which the bridge told its tokens."""
    lines = doors.gateway.log_lines()
    return [line for line in lines if line["path"] == path and line["bridge_prompt_tokens"] != "-"]


def test_what_the_bridge_tells_of_tokens_is_logged(doors: Doors) -> None:
    for method, tokens in (("ModelInferStream", "3"), ("ModelInfer", "6")):
        call(doors, V2 + method, infer_request("llama").SerializeToString(), key=KEY)
        log = until(lambda path=V2 + method: counted(doors, path))  # type: ignore[misc]
        assert (log[-1]["bridge_prompt_tokens"], log[-1]["bridge_completion_tokens"]) == ("5", tokens)
        assert (log[-1]["client"], log[-1]["service"], log[-1]["door"]) == (KEY[4:16], "llama", "llm-grpc")
    call(doors, TF + "Predict", predict_request("mnist"))
    assert until(lambda: [line for line in doors.gateway.log_lines() if line["door"] == "tfserving"])


def test_a_limit_of_tokens_counts_those_of_the_bridge(fresh_doors: Doors) -> None:
    message = infer_request("llama").SerializeToString()
    for _ in range(2):
        call(fresh_doors, V2 + "ModelInfer", message, key=TOKENS)  # 11 of 20 each
    with fresh_doors.channel() as channel:
        code, words, headers = refused(channel.unary_unary(V2 + "ModelInfer"), message, key=TOKENS)
    assert (code, "tokens per minute" in words) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    assert 1 <= int(headers["retry-after"]) <= 60
    assert fresh_doors.post("/v1/chat/completions", {"model": "llama"}, key=TOKENS).status == 429
