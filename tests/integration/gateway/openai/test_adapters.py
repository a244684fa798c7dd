"""An adapter of a language model is named `<service>:<adapter>` at every endpoint, and no other service has any."""

from __future__ import annotations

import json

import grpc
import pytest
import tritonclient.http
from tritonclient.grpc import service_pb2 as pb

from tests.integration.gateway.doors import BOTH, CHAT, COMPLETIONS, KEY, Doors
from tests.integration.gateway.stage import infer_request, refused
from tests.integration.gateway.test_bridged import TF, V2, call, predict_request
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
FRENCH, HELLO = "llama:french", [{"role": "user", "content": "hi"}]
FRONT = [
    {"mm_vmodel_id": "llama"},
    {"mm_vmodel_id": FRENCH},
    {"Host": "llama.localhost:80"},
    {"Host": "llama.localhost", "mm_vmodel_id": FRENCH},
]
READ = [
    "/v2/models/{}",
    "/v2/models/{}/ready",
    "/v2/models/{}/versions/1",
    "/v2/models/{}/versions/1/ready",
    "/v1/models/{}",
]
METHODS = ["ModelInfer", "ModelInferStream", "ModelMetadata", "ModelReady"]


def message(method: str, model: str) -> bytes:
    request = infer_request(model) if "Infer" in method else pb.ModelReadyRequest(name=model)
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("spelling", [FRENCH, "llama%3Afrench", "llama%3afrench", "%6clama%3Afr%65nch"])
@pytest.mark.parametrize("path", READ)
def test_rest_takes_it_in_the_path(doors: Doors, path: str, spelling: str) -> None:
    plain = path.format(FRENCH)
    for front in ("", "/services/llama", f"/services/{spelling}"):
        for headers in ({}, *FRONT):
            answer = doors.gateway.call("GET", front + path.format(spelling), X_API_Key=KEY, **headers)
            assert answer.status == 200, answer.body
            seen = doors.bridge.last()
            assert (seen["call"], seen["headers"]["x-console-service"]) == (f"GET {plain}", "llama")


@pytest.mark.parametrize("method", METHODS)
def test_grpc_takes_it_in_the_message(doors: Doors, method: str) -> None:
    for headers in ({}, {"mm_vmodel_id": "llama"}, {"mm_vmodel_id": FRENCH}):
        call(doors, V2 + method, message(method, FRENCH), key=KEY, **headers)
        assert doors.bridge.last()["headers"]["x-console-service"] == "llama"


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_openai_takes_it_in_the_body(doors: Doors, path: str) -> None:
    for front in ("", "/services/llama", f"/services/{FRENCH}", "/services/llama%3Afrench"):
        for headers in ({}, *FRONT):
            assert doors.post(front + path, {"model": FRENCH, "messages": HELLO}, **headers).status == 200
            assert json.loads(doors.backend.last()["body"])["model"] == FRENCH
    line = doors.lines(path)[-1]
    assert (line["service"], line["door"]) == ("llama", "openai")


@pytest.mark.parametrize(
    "body",
    [
        '{"messages":[]}',
        ' {\n"messages":[],"model" : null}',
        '{"model":null,"stream":true}',
        '{"stream":true,"stream_options":{},"messages":[]}',
        '{"stream":true,"stream_options":null,"model":null}',
        "{}",
    ],
)
def test_an_adapter_named_before_a_body_that_names_none_is_its_model(doors: Doors, body: str) -> None:
    for front, headers in ((f"/services/{FRENCH}", {}), ("", {"mm_vmodel_id": FRENCH})):
        assert doors.post(front + CHAT, body.encode(), **headers).status == 200
        sent = json.loads(doors.backend.last()["body"])
        given = json.loads(body)
        assert sent.pop("model") == FRENCH
        assert sent.pop("stream_options", None) == ({"include_usage": True} if given.get("stream") else None)
        assert sent == {name: value for name, value in given.items() if name not in ("model", "stream_options")}


@pytest.mark.parametrize(
    ("front", "inner"),
    [
        (FRENCH, "llama"),
        (FRENCH, "llama:pirate"),
        (FRENCH, "llama:frenc"),
        (FRENCH, "llama:french:french"),
        ("words", FRENCH),
        ("words:french", FRENCH),
    ],
)
def test_two_names_that_differ_are_a_conflict(doors: Doors, front: str, inner: str) -> None:
    before = doors.count()
    body = {"model": inner, "messages": HELLO}
    for answer in (
        doors.post(f"/services/{front}{CHAT}", body),
        doors.post(CHAT, body, mm_vmodel_id=front),
        doors.gateway.call("GET", f"/services/{front}/v2/models/{inner}", X_API_Key=KEY),
        doors.gateway.call("GET", f"/v1/models/{inner}", X_API_Key=KEY, mm_vmodel_id=front),
    ):
        assert (answer.status, "names different services" in answer.error) == (400, True), answer.body
    with doors.channel() as channel:
        for method in METHODS:
            named = channel.unary_unary(V2 + method)
            code, _, _ = refused(named, message(method, inner), key=KEY, mm_vmodel_id=front)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert doors.count() == before


@pytest.mark.parametrize("name", ["mnist:x", "mnist%3Ax", "nope:x", "mnist:predict"])
def test_a_service_without_adapters_has_none(doors: Doors, name: str) -> None:
    """In the same words as a service that is not there."""
    before = doors.count()
    plain = name.replace("%3A", ":")
    paths = [
        *(("GET", path) for path in READ[:4]),
        ("POST", "/v2/models/{}/infer"),
        ("POST", "/v2/models/{}/versions/1/infer"),
        ("POST", "/v1/models/{}:predict"),
    ]
    for method, path in paths:
        sent = b'{"inputs":[]}' if method == "POST" else None
        answer = doors.gateway.call(method, path.format(name), sent, X_API_Key=BOTH)
        expected = f"No service has an adapter that is named {plain}: only language models have any."
        assert (answer.status, answer.error) == (404, expected)
    service, _, _ = plain.partition(":")
    fronts = ({}, {"mm_vmodel_id": service}, {"Host": f"{service}.localhost"})
    for headers in fronts:
        assert doors.post(CHAT, {"model": plain, "messages": HELLO}, key=BOTH, **headers).status == 404
    with doors.channel() as channel:
        calls = [(V2 + method, message(method, plain)) for method in (*METHODS, "ModelStreamInfer")]
        calls += [(TF + method, predict_request(plain)) for method in ("Predict", "GetModelMetadata")]
        for path, sent in calls:
            for headers in ({}, {"mm_vmodel_id": plain}, {"mm_vmodel_id": service}):
                code, words, _ = refused(channel.unary_unary(path), sent, key=BOTH, **headers)
                assert (code, plain in words) == (grpc.StatusCode.NOT_FOUND, True), (path, words)
    assert doors.count() == before


@pytest.mark.parametrize(
    "name",
    [
        "llama:",
        "llama:a b",
        "llama:a/b",
        "Llama:french",
        "llama::french",
        ":french",
        "llama:-a",
        "llama:" + "a" * 64,
        "llama:fr\xe9",
    ],
)
def test_what_is_no_name_of_an_adapter_reaches_nobody(doors: Doors, name: str) -> None:
    before = doors.count()
    for headers in ({}, {"mm_vmodel_id": "llama"} if name.startswith("llama:") else {}):
        for method in METHODS:
            with doors.channel() as channel:
                code, words, _ = refused(channel.unary_unary(V2 + method), message(method, name), key=KEY, **headers)
                assert (code, words.startswith("No service is named")) == (grpc.StatusCode.NOT_FOUND, True)
        assert doors.post(CHAT, {"model": name, "messages": HELLO}, **headers).status == 404
    assert doors.count() == before


def test_what_a_service_does_not_speak_is_said_of_its_adapters_too(doors: Doors) -> None:
    for method, path in (("POST", f"/v2/models/{FRENCH}/infer"), ("POST", f"/v1/models/{FRENCH}:predict")):
        answer = doors.gateway.call(method, path, b"{}", X_API_Key=KEY)
        assert (answer.status, answer.error.startswith("The service llama is not served here")) == (404, True)
    with doors.channel() as channel:
        for path, sent in (
            (V2 + "ModelStreamInfer", message("ModelInfer", FRENCH)),
            (TF + "Predict", predict_request(FRENCH)),
        ):
            assert refused(channel.unary_unary(path), sent, key=KEY)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_key_may_use_the_adapters_of_its_services_alone(doors: Doors) -> None:
    """A stranger is told the same of every adapter, whether there is one of that name or not."""
    for name in (FRENCH, "llama:nothing"):
        for key, status in ((KEY, 200), (BOTH, 200), (snapshots.STRANGER, 403), ("isk_bad", 401), ("", 401)):
            for path in READ:
                sent = {"X_API_Key": key} if key else {}
                answer = doors.gateway.call("GET", path.format(name), **sent)
                assert answer.status == status, (path, key)
                if status == 403:
                    assert answer.error == f"This API key may not call the service {name}."
            assert doors.post(CHAT, {"model": name, "messages": HELLO}, key=key).status == status
            code = {403: grpc.StatusCode.PERMISSION_DENIED, 401: grpc.StatusCode.UNAUTHENTICATED}.get(status)
            with doors.channel() as channel:
                if code:
                    named = channel.unary_unary(V2 + "ModelInfer")
                    assert refused(named, message("ModelInfer", name), key=key)[0] is code
    public = doors.gateway.call("GET", "/v2/models/open-text:any")
    assert (public.status, doors.bridge.last()["call"]) == (200, "GET /v2/models/open-text:any")


def test_clients_that_quote_the_colon_are_understood(doors: Doors) -> None:
    client = tritonclient.http.InferenceServerClient(doors.gateway.address)
    headers = {"X-API-Key": KEY}
    assert client.is_model_ready(FRENCH, headers=headers)
    assert client.get_model_metadata(FRENCH, headers=headers)["bridge"] == f"/v2/models/{FRENCH}"
    client.close()
    answer = doors.gateway.call("POST", "/v1/models/mnist%3Apredict?a=%3A", b"{}", X_API_Key=BOTH)
    assert (answer.status, doors.bridge.last()["call"]) == (200, "POST /v1/models/mnist:predict")
