"""No way of naming a service opens what is closed, over HTTP/1.1 and HTTP/2, and no trick with headers lets anyone in.

Counted at the backend of every service, and at what stands where the bridge would.
"""

from __future__ import annotations

import json

import pytest

from services.gateway.envoy import names
from services.schema import internal_headers
from tests.integration.gateway.deny_list.test_allow_list import CLOSED, variants
from tests.integration.gateway.doors import BOTH, CHAT, COMPLETIONS, Doors
from tests.integration.gateway.raw import CUT, OTHER, Header, Sender, http1, http2
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
KEY: Header = ("x-api-key", BOTH)
JSON: Header = ("content-type", "application/json")
SENDERS = {"http1": http1, "http2": http2}
BODY = json.dumps({"model": "llama", "messages": [], "prompt": "a"}).encode()
MORE_CLOSED = [
    ("GET", "/inference.GRPCInferenceService/RepositoryIndex"),
    ("POST", "/v2/models/mnist/versions/1/config"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/health/ready"),
    ("HEAD", "/v2/models/mnist/config"),
    ("POST", "/v2/cudasharedmemory/region/r/register"),
    ("GET", "/v2/repository/index"),
    ("GET", "/is_sleeping"),
    ("GET", "/is_paused"),
    ("GET", "/is_scaling_elastic_ep"),
    ("GET", "/get_world_size"),
    ("POST", "/v1/chat/completions/derender"),
    ("POST", "/v1/completions/derender"),
    ("POST", "/v1/messages/count_tokens"),
    ("GET", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("POST", "/v1/audio/translations"),
    ("POST", "/cohere/v2/embed"),
    ("POST", "/v2/embed"),
    ("POST", "/v2/rerank"),
    ("POST", "/v1/models"),
    ("DELETE", "/v1/models/llama"),
    ("POST", "/v1/embeddings/"),
    ("PUT", "/v1/chat/completions"),
    ("GET", "/server_info?config_format=json"),
    ("GET", "/__seen"),
    ("GET", "/v1/models/llama/versions/1/metadata"),
]
NAMINGS: dict[str, tuple[str, list[Header]]] = {
    "nothing": ("", []),
    "prefix": ("/services/mnist", []),
    "prefix of text": ("/services/llama", []),
    "host": ("", [("Host", "mnist.localhost")]),
    "host of text": ("", [("Host", "llama.localhost:80")]),
    "header": ("", [("mm-vmodel-id", "mnist")]),
    "header of text": ("", [("mm-vmodel-id", "llama")]),
    "all": ("/services/llama", [("Host", "llama.localhost"), ("mm-vmodel-id", "llama")]),
}
TARGETS = ["/v2/repository/index", "/v2/models/mnist/config", "/tokenize", "/v1/completions/render", "/pause"]


@pytest.fixture(params=SENDERS)
def send(request: pytest.FixtureRequest) -> Sender:
    return SENDERS[request.param]


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_closed_path_stays_closed_however_the_service_is_named(doors: Doors, send: Sender, naming: str) -> None:
    prefix, headers = NAMINGS[naming]
    before = doors.count()
    for method, path in (*CLOSED, *MORE_CLOSED):
        status = send(doors.gateway.port, method, prefix + path, [KEY, JSON, *headers])
        assert status == 404, f"{method} {prefix}{path} was answered {status}"
    assert doors.count() == before


@pytest.mark.parametrize("naming", NAMINGS)
def test_no_spelling_of_a_closed_path_is_open_however_the_service_is_named(
    doors: Doors, send: Sender, naming: str
) -> None:
    prefix, headers = NAMINGS[naming]
    before = doors.count()
    for target in TARGETS:
        for path in variants(target):
            if path.startswith("http:") and (prefix or send is http2):
                continue  # of the target of HTTP/1.1 only
            status = send(doors.gateway.port, "POST", prefix + path, [KEY, JSON, *headers])
            assert status in (400, 404, CUT), f"{prefix}{path} was answered {status}"
    assert doors.count() == before


OPEN: list[tuple[str, list[Header]]] = [
    (INFER, []),
    ("/services/mnist" + INFER, []),
    (CHAT, [JSON]),
    ("/services/llama" + COMPLETIONS, [JSON]),
]


def test_the_same_ways_do_lead_to_what_is_open(doors: Doors, send: Sender) -> None:
    """Or the tests above could not fail."""
    before = doors.count()
    for path, headers in OPEN:
        body = BODY if headers else b"{}"
        assert send(doors.gateway.port, "POST", path, [KEY, *headers], body) == 200
    assert doors.count() == before + len(OPEN)


FORGED: list[Header] = [
    *((name, "1") for name in internal_headers.INTERNAL),
    (internal_headers.CALLER, "adminadmin00;infer;all;"),
    (internal_headers.SERVICE, "mnist"),
    (internal_headers.SERVICE, "llama"),
    (internal_headers.DIGEST, names.KEYLESS),
    (internal_headers.CONSOLE_SERVICE, "mnist"),
    (internal_headers.CONSOLE_CALLER, "a;infer;all;"),
    ("x-vertex-ai-triton-redirect", "/v2/repository/index"),
    ("x-amzn-sagemaker-target-model", "mnist"),
    ("triton-grpc-protocol-admin-key", "s"),
    ("x-envoy-original-path", INFER),
    ("x-envoy-internal", "true"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-original-url", INFER),
    ("x-rewrite-url", INFER),
    ("forwarded", "for=127.0.0.1"),
    ("connection", "x-key-digest, x-service, x-caller"),
    ("connection", "X-API-Key"),
    ("connection", "keep-alive, Upgrade"),
    ("x-http-method-override", "GET"),
    ("x-api-key", ""),
    ("x-api-key", "isk_bad"),
]


@pytest.mark.parametrize("key", ["", "isk_bad", snapshots.STRANGER, snapshots.READER])
def test_no_header_lets_anybody_in(doors: Doors, key: str) -> None:
    before = doors.count()
    keys = [("x-api-key", key)] if key else []
    for path in (INFER, CHAT, "/services/llama" + CHAT):
        for sets in ([each] for each in FORGED):
            status = http1(doors.gateway.port, "POST", path, [*keys, *sets, JSON], BODY)
            assert status in (OTHER, CUT, 400, 401, 403, 404), (path, sets)
    assert doors.count() == before


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD", "TRACE", "PATCH", "POSTX", "OPTIONS"])
def test_no_header_makes_another_method_of_one(doors: Doors, method: str) -> None:
    before = doors.count()
    for name in ("x-http-method-override", "X-HTTP-Method", "X-Method-Override", "_method"):
        status = http1(doors.gateway.port, method, INFER, [KEY, (name, "POST")])
        assert status in (400, 404, CUT)
    assert doors.count() == before
