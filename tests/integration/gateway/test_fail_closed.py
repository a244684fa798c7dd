"""The gateway with a part of it broken on purpose refuses everybody; it never lets anybody through."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from services.gateway.envoy import names
from tests.integration.gateway.stage import Stage, infer_request, refused
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
Manager = dict[str, Any]


def script_fails(manager: Manager, name: str) -> None:
    for each in manager["http_filters"]:
        if each["name"] == name:
            failing = "function envoy_on_request(handle) error('broken') end"
            each["typed_config"]["default_source_code"]["inline_string"] = failing


def filter_is_missing(manager: Manager, name: str) -> None:
    manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != name]


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (script_fails, names.DOOR),
        (script_fails, names.RESOLVE),
        (filter_is_missing, names.DOOR),
        (filter_is_missing, names.API_KEY),
        (filter_is_missing, names.RESOLVE),
        (filter_is_missing, names.FIELDS),
    ],
)
def test_a_broken_part_lets_nobody_through(
    fresh_stage: Stage, damage: Callable[[Manager, str], None], name: str
) -> None:
    gateway = fresh_stage.gateway
    gateway.kill()
    path = gateway.directory / names.BOOTSTRAP
    bootstrap = json.loads(path.read_text())
    damage(bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"], name)
    path.write_text(json.dumps(bootstrap))
    gateway.run()
    rest_should_pass = name in (names.RESOLVE, names.FIELDS)  # they are for gRPC alone
    for key in ("", "isk_bad", snapshots.STRANGER):
        assert gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=key).status in (401, 403, 404)
    answer = gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=snapshots.ADMIN)
    assert (answer.status == 200) is rest_should_pass
    before = [call for call in fresh_stage.seen() if call["call"].startswith("Model")]
    with fresh_stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for key in ("", "isk_bad", snapshots.STRANGER, snapshots.ADMIN):
            code, _, _ = refused(stub.ModelInfer, infer_request("mnist"), key=key)
            assert code in (
                grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT,
            )  # fmt: skip
    assert [call for call in fresh_stage.seen() if call["call"].startswith("Model")] == before == []


def test_without_memory_requests_are_refused_in_words(fresh_stage: Stage) -> None:
    """With a heap limit that is reached at once; a limit that is not reached is in every other test."""
    gateway = fresh_stage.gateway
    gateway.kill()
    path = gateway.directory / names.BOOTSTRAP
    bootstrap = json.loads(path.read_text())
    heap = next(each for each in bootstrap["overload_manager"]["resource_monitors"] if "heap" in each["name"])
    heap["typed_config"]["max_heap_size_bytes"] = 1 << 20
    path.write_text(json.dumps(bootstrap))
    gateway.run()
    deadline = time.monotonic() + 5
    while (answer := gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=snapshots.ADMIN)).status == 200:
        assert time.monotonic() < deadline
    assert answer.status == 503
    assert "error" in json.loads(answer.body)
