"""The access log is rotated under a running Envoy, which loses no line, and counted before a file is removed."""

from __future__ import annotations

from operator import add as plus
from pathlib import Path

import pytest
from django.db.models import Sum
from tritonclient.grpc import service_pb2_grpc

from services.errors import GatewayError
from services.gateway.envoy import names
from services.models import Usage
from services.models.usage import ALWAYS
from services.usage import access_log, metering
from tests.integration.gateway.stage import Stage, infer_request, refused, send
from tests.servers.gateway.rig import until
from tests.services.gateway import snapshots

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def ask(stage: Stage, mark: str) -> None:
    assert stage.gateway.call("GET", f"/nothing/{mark}").status == 404


def holds(path: Path, mark: str) -> bool:
    return path.exists() and mark in path.read_text()


def test_lines_go_on_in_a_new_file_and_three_old_ones_are_kept(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    log = directory / names.ACCESS_LOG
    for number in range(5):
        mark = f"agent-{number}"
        ask(fresh_stage, mark)
        until(lambda mark=mark: holds(log, mark))  # type: ignore[misc]
        metering.catch_up(directory)
        assert access_log.rotate(directory, limit=10, kept=3)
    ask(fresh_stage, "the-last")
    until(lambda: holds(log, "the-last"))
    assert "agent-" not in log.read_text()
    kept = {path.name: path.read_text() for path in log.parent.glob("access.log.*")}
    assert sorted(kept) == ["access.log.1", "access.log.2", "access.log.3"]
    assert [f"agent-{number}" in kept[f"access.log.{5 - number}"] for number in (4, 3, 2)] == [True, True, True]


def test_a_small_log_stays(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    ask(fresh_stage, "agent-0")
    log = directory / names.ACCESS_LOG
    until(lambda: holds(log, "agent-0"))
    assert not access_log.rotate(directory, limit=access_log.LIMIT)
    assert not list(log.parent.glob("access.log.*"))


def test_an_envoy_that_could_not_be_told_is_told_the_next_time(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    log, socket = directory / names.ACCESS_LOG, directory / names.ADMIN_SOCKET
    ask(fresh_stage, "before")
    until(lambda: holds(log, "before"))
    socket.rename(directory / "aside")
    with pytest.raises(GatewayError):
        access_log.rotate(directory, limit=10)
    ask(fresh_stage, "meanwhile")
    until(lambda: holds(log.with_name("access.log.1"), "meanwhile"))
    (directory / "aside").rename(socket)
    assert not access_log.rotate(directory, limit=10)  # nothing to rename, but Envoy is told
    ask(fresh_stage, "afterwards")
    until(lambda: holds(log, "afterwards"))


def test_each_request_is_counted_as_what_it_was(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    with fresh_stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(3):
            send(stub.ModelInfer, infer_request("mnist"), key=snapshots.TEAM)
        refused(stub.ModelInfer, infer_request("asr"), key=snapshots.TEAM)
        for _ in range(3):
            send(stub.ModelInfer, infer_request("mnist"), key=snapshots.LIMITED)
        refused(stub.ModelInfer, infer_request("mnist"), key=snapshots.LIMITED)
        refused(stub.ModelInfer, infer_request("slow"), key=snapshots.TEAM)
    for _ in range(4):
        assert fresh_stage.gateway.call("POST", "/v2/models/mnist/infer", "{}", X_API_Key=snapshots.TEAM).status == 200
    assert fresh_stage.gateway.call("POST", "/v2/models/mnist/infer", "{}", X_API_Key=snapshots.LIMITED).status == 429
    until(lambda: holds(directory / names.ACCESS_LOG, '"status":429'))
    metering.catch_up(directory)

    def counted(key: str, service: str) -> tuple[int, ...]:
        measures = ("requests", "client_errors", "server_errors", "limited")
        rows = Usage.objects.filter(span=ALWAYS, series__key_id=key[4:16], series__service=service)
        totals = rows.aggregate(**{f"sum_{name}": Sum(name, default=0) for name in measures})
        return tuple(totals[f"sum_{name}"] for name in measures)

    assert counted(snapshots.TEAM, "mnist") == (7, 0, 0, 0)
    assert counted(snapshots.TEAM, "asr") == (1, 1, 0, 0)
    assert counted(snapshots.TEAM, "slow") == (1, 0, 1, 0)
    # The limit of a key is taken before a gRPC message is read, so for which service it would have been is not known.
    mnist, nowhere = counted(snapshots.LIMITED, "mnist"), counted(snapshots.LIMITED, "")
    assert tuple(map(plus, mnist, nowhere)) == (5, 0, 0, 2)
