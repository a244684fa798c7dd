"""Headers that only the gateway's own parts may write: over HTTP/2 and gRPC they let nobody in and tell nobody a thing.

(Over HTTP/1.1 they are in test_named.py.)
"""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from services.gateway.envoy import names
from services.gateway.envoy.listener import SPOOFABLE, SPOOFABLE_PREFIXES
from services.schema import internal_headers
from tests.integration.gateway.doors import BOTH, CHAT, KEY, Doors
from tests.integration.gateway.raw import OTHER, Header, http1, http2
from tests.integration.gateway.stage import infer_request, refused
from tests.integration.gateway.test_bridged import TF, V2, call, predict_request
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
BODY = json.dumps({"model": "llama", "messages": []}).encode()
JSON: Header = ("content-type", "application/json")
ADMIN = "adminadmin00;infer;all;"
FORGED: list[Header] = [
    *((name, "evil") for name in SPOOFABLE),
    *((prefix + "evil", "evil") for prefix in SPOOFABLE_PREFIXES),
    (internal_headers.CALLER, ADMIN),
    (internal_headers.SERVICE, "mnist"),
    (internal_headers.SERVICE, "open-text"),
    (internal_headers.CHECKED, "1"),
    (internal_headers.DIGEST, names.KEYLESS),
    (internal_headers.CONSOLE_CALLER, ADMIN),
    (internal_headers.CONSOLE_SERVICE, "mnist"),
    (internal_headers.TYPED, "1"),
    (internal_headers.UNARY, "1"),
    (internal_headers.SIZE, "1"),
    (internal_headers.RETRY, "1"),
    ("x-envoy-original-path", "/v2/repository/index"),
    ("x-envoy-upstream-alt-stat-name", "evil"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-max-retries", "100"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
]
KEYS = ["", "isk_bad", snapshots.STRANGER, snapshots.READER]


@pytest.mark.parametrize("key", KEYS)
def test_over_http2_no_forged_header_lets_anybody_in(doors: Doors, key: str) -> None:
    before = doors.count()
    keys = [("x-api-key", key)] if key else []
    for path in (INFER, CHAT, "/services/llama" + CHAT, "/v1/models/mnist:predict"):
        for forged in (*([each] for each in FORGED), FORGED):
            assert http2(doors.gateway.port, "POST", path, [*keys, *forged, JSON], BODY) == OTHER, (path, forged)
    assert doors.count() == before


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("method", [V2 + "ModelInfer", TF + "Predict", V2 + "ModelReady"])
def test_over_grpc_no_forged_header_lets_anybody_in(doors: Doors, key: str, method: str) -> None:
    before = doors.count()
    message = predict_request("mnist") if method.startswith(TF) else infer_request("mnist").SerializeToString()
    if method.endswith("Ready"):
        message = b"\x0a\x05mnist"
    with doors.channel() as channel:
        for forged in (*([each] for each in FORGED), FORGED):
            factory: Any = channel.unary_unary
            with pytest.raises(grpc.RpcError) as caught:
                factory(method)(message, metadata=[*([("x-api-key", key)] if key else []), *forged], timeout=10)
            assert caught.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    assert doors.count() == before


def test_over_grpc_no_forged_header_opens_a_closed_call(doors: Doors) -> None:
    before = doors.count()
    forged = {name.replace("-", "_"): value for name, value in FORGED}
    with doors.channel() as channel:
        factory: Any = channel.unary_unary
        for rpc in ("RepositoryModelLoad", "SystemSharedMemoryRegister", "LogSettings", "ModelConfig"):
            code, _, _ = refused(factory(V2 + rpc), b"", key=BOTH, **forged)
            assert code is grpc.StatusCode.UNIMPLEMENTED
    assert doors.count() == before


@pytest.mark.parametrize("send", [http1, http2])
@pytest.mark.parametrize(("path", "body"), [(INFER, b"{}"), (CHAT, BODY)])
def test_a_backend_is_told_nothing_that_was_forged(doors: Doors, send: Any, path: str, body: bytes) -> None:
    more = [("authorization", "Bearer evil"), ("proxy-authorization", "evil"), ("cookie", "evil=1")]
    forged = [each for each in FORGED if each[1] == "evil"]
    assert send(doors.gateway.port, "POST", path, [("x-api-key", BOTH), JSON, *forged, *more], body) == 200
    headers = doors.backend.last()["headers"]
    assert set(headers) <= {"host", "content-length", "content-type", "x-request-id"}
    assert headers["host"] == "localhost"
    assert len(headers["x-request-id"]) == 36
    assert "evil" not in str(headers)


def test_neither_a_grpc_backend_nor_the_bridge_is_told_what_was_forged(doors: Doors) -> None:
    forged = {name.replace("-", "_"): "evil" for name, value in FORGED if value == "evil"}
    call(doors, V2 + "ModelInfer", infer_request("mnist").SerializeToString(), **forged)
    call(doors, V2 + "ModelInfer", infer_request("llama").SerializeToString(), key=KEY, **forged)
    for seen in (doors.backend.last(), doors.bridge.last()):
        assert "evil" not in str(seen["headers"])
    headers = doors.bridge.last()["headers"]
    assert (headers["x-console-service"], headers["x-console-caller"]) == ("llama", f"{KEY[4:16]};infer;team=text;")
