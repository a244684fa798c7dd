"""Whatever is not on the allow-list is 404 without a look at the key, and never reaches a backend, however spelled."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import grpc
import pytest

from services.gateway.envoy import names
from tests.integration.gateway.stage import Stage, infer_request, refused
from tests.servers.gateway.rig import until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
CLOSED = [
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/mnist/load"),
    ("POST", "/v2/repository/models/mnist/unload"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("POST", "/v2/systemsharedmemory/unregister"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/models/mnist/trace/setting"),
    ("GET", "/v2/models/stats"),
    ("GET", "/v2/models/mnist/stats"),
    ("GET", "/v2/models/mnist/config"),
    ("GET", "/v2/models/mnist/versions/1/stats"),
    ("POST", "/v2/models/mnist/generate"),
    ("POST", "/v2/models/mnist/generate_stream"),
    ("GET", "/metrics"),
    ("GET", "/ping"),
    ("POST", "/invocations"),
    ("GET", "/models"),
    ("GET", "/v1/models/mnist/versions/1"),
    ("POST", "/v1/models/mnist"),
    ("POST", "/v1/models/mnist:explain"),
    ("GET", "/v1/chat/completions"),
    ("POST", "/v1/chat/completions/render"),
    ("POST", "/v1/chat/completions/batch"),
    ("POST", "/v1/completions/render"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/score"),
    ("POST", "/v1/rerank"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("POST", "/pooling"),
    ("POST", "/classify"),
    ("POST", "/score"),
    ("POST", "/rerank"),
    ("POST", "/generative_scoring"),
    ("POST", "/inference/v1/generate"),
    ("POST", "/collective_rpc"),
    ("POST", "/sleep"),
    ("POST", "/wake_up"),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("POST", "/abort_requests"),
    ("POST", "/scale_elastic_ep"),
    ("POST", "/init_weight_transfer_engine"),
    ("POST", "/update_weights"),
    ("POST", "/reset_prefix_cache"),
    ("POST", "/reset_mm_cache"),
    ("POST", "/reset_encoder_cache"),
    ("GET", "/server_info"),
    ("POST", "/start_profile"),
    ("POST", "/stop_profile"),
    ("GET", "/tokenizer_info"),
    ("GET", "/version"),
    ("GET", "/load"),
    ("GET", "/health"),
    ("GET", "/docs"),
    ("GET", "/redoc"),
    ("GET", "/openapi.json"),
    ("POST", "/services/mnist/v2/repository/index"),
    ("GET", "/services/mnist/v2/models/mnist/config"),
    ("POST", "/services/mnist/tokenize"),
    ("POST", "/services/mnist/services/mnist/v2/models/mnist/infer"),
    ("POST", "/services//v2/models/mnist/infer"),
    ("GET", "/"),
    ("GET", "/v2/"),
    ("GET", "/v2/models/mnist/infer"),
    ("POST", "/v2/models/mnist"),
    ("POST", "/v2/models/mnist/ready"),
    ("PUT", "/v2/models/mnist/infer"),
    ("PATCH", "/v2/models/mnist/infer"),
    ("DELETE", "/v2/models/mnist"),
    ("OPTIONS", "/v2/models/mnist/infer"),
    ("POST", "/v2/models/mnist/versions/x/infer"),
    ("POST", "/v2/models/mnist/versions/1/versions/2/infer"),
    ("POST", "/inference.GRPCInferenceService/ModelInfer"),
    ("POST", "/inference.GRPCInferenceService/RepositoryIndex"),
]
CLOSED_RPCS = [
    "inference.GRPCInferenceService/" + method
    for method in (
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "ModelConfig",
        "ModelStatistics",
        "SystemSharedMemoryStatus",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "CudaSharedMemoryStatus",
        "CudaSharedMemoryRegister",
        "CudaSharedMemoryUnregister",
        "TraceSetting",
        "LogSettings",
        "modelinfer",
        "ModelInfer/",
        "ModelInferX",
    )
] + [
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "grpc.health.v1.Health/Watch",
    "tensorflow.serving.PredictionService/Classify",
    "tensorflow.serving.ModelService/HandleReloadConfigRequest",
    "inference.grpcinferenceservice/ModelInfer",
]
TARGETS = ["/v2/repository/index", "/v2/models/mnist/config", "/v2/logging"]


def variants(path: str) -> Iterator[str]:
    """Other spellings that some server takes for `path`."""
    parts = path.strip("/").split("/")
    yield "//" + "//".join(parts)
    yield path + "/"
    yield path + "//"
    yield "/./" + "/./".join(parts)
    yield "/v2/models/mnist/infer/../../.." + path.removeprefix("/v2")
    yield "/v2/models/mnist/../.." + path.removeprefix("/v2")
    yield "/v2/models/mnist/%2e%2e/%2e%2e" + path.removeprefix("/v2")
    yield "/v2/models/mnist/..%2f..%2f" + "/".join(parts[1:])
    yield "/v2/models/mnist/..%5c..%5c" + "/".join(parts[1:])
    yield "/v2/models/mnist/infer;/" + parts[-1]
    yield "/" + "%2F".join(parts)
    yield "/" + "\\".join(parts)
    yield path.replace("o", "%6f").replace("c", "%63")
    yield path.replace("o", "%256f")
    yield path.upper()
    yield path + "%00"
    yield path + "%20"
    yield path + ";x=/v2/models/mnist/infer"
    yield path + "?x=/v2/models/mnist/infer"
    yield path + "?/v2/models/mnist/infer"
    yield "/v2/models/mnist/infer%3f/../../../.." + path
    yield "/v2/models/mnist%2finfer"
    yield "http://127.0.0.1" + path


@pytest.mark.parametrize("key", ["", snapshots.ADMIN])
@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_a_closed_path_is_404_with_and_without_a_key(stage: Stage, method: str, path: str, key: str) -> None:
    before = stage.count()
    answer = stage.gateway.call(method, path, b"{}", X_API_Key=key)
    assert (answer.status, answer.error) == (404, "This path or method is not served here.")
    assert stage.count() == before


@pytest.mark.parametrize("target", TARGETS)
def test_no_spelling_of_a_closed_path_reaches_a_backend(stage: Stage, target: str) -> None:
    before = stage.count()
    for method in ("GET", "POST"):
        for path in variants(target):
            status = raw_status(stage.gateway.port, method, path)
            assert status in (400, 404), f"{method} {path} was answered {status}"
    assert stage.count() == before


def test_a_spelling_that_normalises_to_an_open_path_is_that_path(stage: Stage) -> None:
    for path in ("/v2//models/mnist/infer", "/v2/./models/mnist/infer", "/v2/models/asr/../mnist/infer"):
        assert raw_status(stage.gateway.port, "POST", path) == 200
    assert all("mnist/infer" in call["call"] for call in stage.seen() if "infer" in call["call"])


@pytest.mark.parametrize("key", ["", snapshots.ADMIN])
@pytest.mark.parametrize("rpc", CLOSED_RPCS)
def test_a_closed_rpc_is_unimplemented(stage: Stage, rpc: str, key: str) -> None:
    before = stage.count()
    with stage.channel() as channel:
        code, message, _ = refused(channel.unary_unary("/" + rpc), b"", key=key)
    assert (code, message) == (grpc.StatusCode.UNIMPLEMENTED, "This path or method is not served here.")
    assert stage.count() == before


@pytest.mark.parametrize(
    "path",
    [
        "/inference.GRPCInferenceService/ModelInfer/../RepositoryIndex",
        "/inference.GRPCInferenceService//RepositoryIndex",
        "//inference.GRPCInferenceService/RepositoryIndex",
        "/inference.GRPCInferenceService/%52epositoryIndex",
        "/inference.GRPCInferenceService%2fRepositoryIndex",
        "/inference%2eGRPCInferenceService/RepositoryIndex",
    ],
)
def test_no_spelling_of_a_closed_rpc_reaches_a_backend(stage: Stage, path: str) -> None:
    before = stage.count()
    with stage.channel() as channel:
        code, _, _ = refused(channel.unary_unary(path), b"", key=snapshots.ADMIN, mm_vmodel_id="mnist")
    assert code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)
    assert stage.count() == before


def test_the_header_for_a_service_opens_no_closed_path(stage: Stage) -> None:
    before = stage.count()
    for path in TARGETS:
        answer = stage.gateway.call("GET", path, X_API_Key=snapshots.ADMIN, mm_vmodel_id="mnist")
        assert answer.status == 404
    assert stage.count() == before


def test_a_header_with_an_underscore_is_refused(stage: Stage) -> None:
    head = "x_api_key: " + snapshots.ADMIN
    assert raw_status(stage.gateway.port, "POST", "/v2/models/mnist/infer", head) == 400


def test_a_request_smuggled_by_two_lengths_is_refused(stage: Stage) -> None:
    before = stage.count()
    for head in ("Content-Length: 2\r\nContent-Length: 3", "Content-Length: 3\r\nTransfer-Encoding: chunked"):
        assert raw_status(stage.gateway.port, "POST", "/v2/models/mnist/infer", head, body="") == 400
    assert stage.count() == before


def test_what_was_refused_is_in_the_access_log_without_the_key(stage: Stage) -> None:
    path = "/v2/repository/looked-for"
    stage.gateway.call("POST", f"{path}?key={snapshots.ADMIN}", b"{}", X_API_Key=snapshots.ADMIN)
    stage.gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=snapshots.TEAM)
    lines = until(lambda: [line for line in stage.gateway.log_lines() if line["path"] == path])
    assert lines[0]["status"] == 404
    passed = until(lambda: [line for line in stage.gateway.log_lines() if line["client"] == "teamteam0000"])
    assert (passed[-1]["service"], passed[-1]["status"], passed[-1]["bytes_in"]) == ("mnist", 200, 2)
    text = (stage.gateway.directory / names.ACCESS_LOG).read_text()
    assert snapshots.ADMIN not in text
    assert snapshots.TEAM not in text


@pytest.mark.parametrize(
    "path",
    [
        '/v2/models/mnist/infer"',
        '/v2/models/mnist"/infer',
        '/v2/models/mnist/infer","client":"somebody","x":"',
        '/inference.GRPCInferenceService/ModelInfer","client":"somebody","x":"',
        "/v2/models/mnist/infer\\",
    ],
)
def test_no_path_writes_into_another_field_of_the_log(stage: Stage, path: str) -> None:
    before = len(stage.gateway.log_lines())
    for head in ("Content-Length: 2", "Content-Length: 2\r\nContent-Type: application/grpc"):
        raw_status(stage.gateway.port, "POST", path, head)
    lines = until(lambda: (new_lines := stage.gateway.log_lines()[before:])[1:] and new_lines)
    assert "somebody" not in {line["client"] for line in lines}


def raw_status(port: int, method: str, path: str, head: str = "Content-Length: 2", body: str = "{}") -> int:
    """The status of a request written byte for byte: client libraries would tidy the path up."""
    request = f"{method} {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {snapshots.ADMIN}\r\nConnection: close\r\n"
    if "ength" not in head:
        head += "\r\nContent-Length: 2"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall((request + head + "\r\n\r\n" + body).encode())
        return int(connection.recv(64).split()[1])


def test_the_same_calls_do_reach_a_backend_when_open(stage: Stage) -> None:
    """Or the tests above could not fail."""
    before = stage.count()
    assert raw_status(stage.gateway.port, "POST", "/v2/models/mnist/infer") == 200
    with stage.channel() as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        call(infer_request("mnist").SerializeToString(), metadata=(("x-api-key", snapshots.ADMIN),), timeout=5)
    assert stage.count() == before + 2
