"""The gateway with a part of it broken on purpose refuses everybody; it never lets anybody through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.gateway.envoy import names
from tests.integration.gateway.doors import BOTH, CHAT, Doors
from tests.integration.gateway.stage import Stage, infer_request, refused, send
from tests.servers.gateway.rig import Answer, until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
Manager = dict[str, Any]


FAILING = "function envoy_on_request(handle) error('broken') end"
AFTER_BODY = "function envoy_on_request(handle) handle:body() error('broken') end"


def script_fails(manager: Manager, name: str, script: str = FAILING) -> None:
    for each in manager["http_filters"]:
        if each["name"] == name:
            config = each["typed_config"]
            for source in (config.get("default_source_code"), *config.get("source_codes", {}).values()):
                if source:
                    source["inline_string"] = script


def script_fails_late(manager: Manager, name: str) -> None:
    """When it has the body already."""
    script_fails(manager, name, AFTER_BODY)


def filter_is_missing(manager: Manager, name: str) -> None:
    manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != name]


def resolve(manager: Manager) -> dict[str, Any]:
    [config] = [each["typed_config"] for each in manager["http_filters"] if each["name"] == names.RESOLVE]
    found: dict[str, Any] = config
    return found


REFUSALS = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
)
# What still works without the part; everything else must not.
BROKEN = [
    (names.DOOR, set()),
    (names.API_KEY, set()),
    (names.RESOLVE, {"rest", "openai"}),
    # ModelInfer's script reads its message by itself.
    (names.FIELDS, {"rest", "openai", "grpc"}),
    (names.GUARD, {"grpc", "openai"}),
    (names.TEXT, {"grpc", "rest"}),
]


@pytest.mark.parametrize("damage", [script_fails, script_fails_late, filter_is_missing])
@pytest.mark.parametrize(("name", "works"), BROKEN, ids=[name for name, _ in BROKEN])
def test_a_broken_part_lets_nobody_through(
    doors: Doors, damage: Callable[[Manager, str], None], name: str, works: set[str]
) -> None:
    if name in (names.API_KEY, names.FIELDS) and damage is not filter_is_missing:
        pytest.skip("no script")
    gateway = doors.gateway
    gateway.restart(lambda manager: damage(manager, name))
    doors.backend.forget()
    body = {"model": "llama", "messages": []}
    for key in ("", "isk_bad", snapshots.STRANGER):
        assert gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=key).status in (401, 403, 404)
        for door in (CHAT, "/services/llama" + CHAT):
            assert doors.post(door, body, key=key).status in (401, 403, 404)
    assert doors.backend.count() == 0
    rest = gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=BOTH)
    assert (rest.status == 200) is ("rest" in works)
    # A service named in the path is known before the script runs: without its script it must not pass either.
    for door in (CHAT, "/services/llama" + CHAT):
        assert (doors.post(door, body, key=BOTH).status == 200) is ("openai" in works)
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        keys = ("", "isk_bad", snapshots.STRANGER, *(() if "grpc" in works else (BOTH,)))
        for key in keys:
            for named in ({}, {"mm_vmodel_id": "mnist"}):
                code, _, _ = refused(stub.ModelInfer, infer_request("mnist"), key=key, **named)
                assert code in REFUSALS
        assert [call for call in doors.backend.seen() if call["call"].startswith("Model")] == []
        if "grpc" in works:
            assert send(stub.ModelInfer, infer_request("mnist"), key=BOTH).model_name == "mnist"
        if name == names.FIELDS:
            code, _, _ = refused(stub.ModelReady, service_pb2.ModelReadyRequest(name="mnist"), key=BOTH)
            assert code in REFUSALS
            code, _, _ = refused(stub.ModelStreamInfer, iter([infer_request("mnist")]), key=BOTH)
            assert code in REFUSALS


def test_a_script_that_is_missing_under_its_name_lets_nobody_through(doors: Doors) -> None:
    doors.gateway.restart(lambda manager: resolve(manager).pop("source_codes"))
    doors.backend.forget()
    with doors.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # Where a header names the service, its own route runs the script for all instead.
        code, _, _ = refused(stub.ModelInfer, infer_request("mnist"), key=BOTH)
        assert code in REFUSALS
    assert [call for call in doors.backend.seen() if call["call"].startswith("Model")] == []


FAILS_LATER = """
local calls, real = 0, uses_shared_memory
function uses_shared_memory(...)
  calls = calls + 1
  if calls > 1 then error("broken") end
  return real(...)
end
"""


def test_a_script_that_fails_in_the_middle_of_a_stream_lets_no_more_of_it_through(stage: Stage) -> None:
    def damage(manager: Manager) -> None:
        resolve(manager)["default_source_code"]["inline_string"] += FAILS_LATER

    stage.gateway.restart(damage)
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        requests = iter([infer_request("mnist", size) for size in (4, 70_000, 4, 300_000, 4)])
        answers = send(stub.ModelStreamInfer, requests, key=snapshots.TEAM)
    named = [answer.infer_response.model_name for answer in answers]
    assert named[:4] == ["mnist"] * 4
    assert len(named) == 8
    assert all("failed to look at" in name for name in named[4:])


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

    def refusal() -> Answer | None:
        answer = gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=snapshots.ADMIN)
        return answer if answer.status != 200 else None

    answer = until(refusal)
    assert answer is not None and answer.status == 503
    assert "error" in json.loads(answer.body)
