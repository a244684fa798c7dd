"""What happens while things change: keys revoked, services published, replicas and the gateway itself killed."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from services.gateway import status
from services.gateway.envoy import encoding, names
from services.gateway.snapshot import Limits, Snapshot
from tests.integration.gateway.stage import Stage, infer_request, send
from tests.servers.gateway.rig import Backend, until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"


def without(snapshot: Snapshot, secret: str) -> Snapshot:
    return replace(snapshot, keys=tuple(key for key in snapshot.keys if key.id != secret[4:16]))


def rest_status(stage: Stage, path: str = INFER, key: str = snapshots.TEAM) -> int:
    return stage.gateway.call("POST", path, b"{}", X_API_Key=key).status


def seconds_until(reached: Callable[[], bool]) -> float:
    began = time.monotonic()
    until(reached)
    return time.monotonic() - began


def test_a_revoked_key_is_refused_within_a_second_of_publishing(fresh_stage: Stage) -> None:
    """Once of three times: a machine may be busy with something else."""

    def revoke() -> float:
        fresh_stage.gateway.publish(fresh_stage.snapshot)
        until(lambda: rest_status(fresh_stage) == 200)
        fresh_stage.gateway.publish(without(fresh_stage.snapshot, snapshots.TEAM))
        return seconds_until(lambda: rest_status(fresh_stage) == 401)

    assert min(revoke() for _ in range(3)) < 1
    assert rest_status(fresh_stage, key=snapshots.ADMIN) == 200


def test_a_new_key_and_a_new_service_work_within_a_second_of_publishing(fresh_stage: Stage) -> None:
    new = snapshots.ready("newcomer", fresh_stage.first.endpoint)
    secret = "isk_latelatelate_" + "0" * 49
    more = replace(
        fresh_stage.snapshot,
        services=(*fresh_stage.snapshot.services, new),
        keys=(*fresh_stage.snapshot.keys, snapshots.key(secret, "vision")),
    )
    assert rest_status(fresh_stage, "/v2/models/newcomer/infer", secret) == 401

    def add() -> float:
        fresh_stage.gateway.publish(fresh_stage.snapshot)
        until(lambda: rest_status(fresh_stage, "/v2/models/newcomer/infer", secret) == 401)
        fresh_stage.gateway.publish(more)
        return seconds_until(lambda: rest_status(fresh_stage, "/v2/models/newcomer/infer", secret) == 200)

    assert min(add() for _ in range(3)) < 1


def test_connections_and_streams_survive_a_publish(fresh_stage: Stage) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", fresh_stage.gateway.port, timeout=60)
    connection.request("POST", INFER, b"{}", {"X-API-Key": snapshots.TEAM})
    assert connection.getresponse().read()
    local = connection.sock.getsockname()
    more = threading.Event()

    def requests():  # type: ignore[no-untyped-def]
        yield infer_request("mnist")
        more.wait(20)
        yield infer_request("mnist")

    with fresh_stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stream = stub.ModelStreamInfer(requests(), metadata=(("x-api-key", snapshots.TEAM),), timeout=30)
        before = [next(stream) for _ in range(4)]
        extra = tuple(snapshots.ready(f"more-{i}", fresh_stage.second.endpoint) for i in range(50))
        services = (*fresh_stage.snapshot.services, *extra)
        wider = replace(fresh_stage.snapshot, services=services, keys=snapshots.KEYS[:3])
        assert fresh_stage.gateway.publish(wider)
        until(lambda: status.loaded(fresh_stage.gateway.directory).current)
        more.set()
        assert len(before) + len(list(stream)) == 8
    connection.request("POST", INFER, b"{}", {"X-API-Key": snapshots.TEAM})
    assert connection.getresponse().status == 200
    assert connection.sock.getsockname() == local
    connection.close()


def test_publishing_other_keys_refills_nobodys_bucket(fresh_stage: Stage) -> None:
    until(lambda: rest_status(fresh_stage, key=snapshots.LIMITED) == 429)
    fresh_stage.gateway.publish(without(fresh_stage.snapshot, snapshots.TEAM))
    until(lambda: rest_status(fresh_stage) == 401)
    assert rest_status(fresh_stage, key=snapshots.LIMITED) == 429


def test_no_request_fails_while_replicas_are_exchanged(fresh_stage: Stage) -> None:
    third = Backend.start("three")
    failures: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", fresh_stage.gateway.port, timeout=60)
        while not stop.is_set():
            connection.request("POST", INFER, b"{}", {"X-API-Key": snapshots.TEAM})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                failures.append(response.status)
        connection.close()

    callers = [threading.Thread(target=ask) for _ in range(2)]
    try:
        for caller in callers:
            caller.start()
        exchanged = snapshots.ready("mnist", third.endpoint)
        services = (exchanged, *fresh_stage.snapshot.services[1:])
        fresh_stage.gateway.publish(replace(fresh_stage.snapshot, services=services))
        until(lambda: third.seen())
        until(lambda: status.loaded(fresh_stage.gateway.directory).current)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        third.kill()
    assert failures == []


def test_a_killed_replica_is_left_for_the_other_one(fresh_stage: Stage) -> None:
    with fresh_stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert {send(stub.ModelInfer, infer_request("mnist"), key=snapshots.TEAM).model_version for _ in range(20)} == {
            "one",
            "two",
        }
        fresh_stage.first.kill()
        for _ in range(50):
            assert send(stub.ModelInfer, infer_request("mnist"), key=snapshots.TEAM).model_version == "two"
            assert rest_status(fresh_stage) == 200


def test_a_service_without_any_replica_left_is_503_and_comes_back(fresh_stage: Stage) -> None:
    fresh_stage.first.kill()
    fresh_stage.second.kill()
    answer = fresh_stage.gateway.call("POST", INFER, b"{}", X_API_Key=snapshots.TEAM)
    assert answer.status == 503
    assert "No replica of the service mnist answers" in answer.error
    assert answer.headers["retry-after"] == "1"
    with fresh_stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            send(stub.ModelInfer, infer_request("mnist"), key=snapshots.TEAM)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, answer.error)
    again = Backend.start("one", fresh_stage.first.endpoint)
    try:
        until(lambda: rest_status(fresh_stage) == 200)
    finally:
        again.kill()


def test_a_service_that_is_too_slow_is_given_up_and_a_stream_is_not(fresh_stage: Stage) -> None:
    hasty = replace(fresh_stage.snapshot, limits=Limits(request_timeout_seconds=1))
    fresh_stage.gateway.publish(hasty)
    until(lambda: status.loaded(fresh_stage.gateway.directory).current)
    slow = infer_request("mnist")
    slow.parameters["sleep_ms"].int64_param = 2000
    with fresh_stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            send(stub.ModelInfer, slow, key=snapshots.TEAM)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert caught.value.details() == "The service mnist did not answer in time."
        assert len(send(stub.ModelStreamInfer, iter([slow]), key=snapshots.TEAM)) == 4


def test_a_stream_of_a_revoked_key_ends_within_the_bound(fresh_stage: Stage) -> None:
    bounded = replace(fresh_stage.snapshot, limits=Limits(stream_seconds=3))
    fresh_stage.gateway.publish(bounded)
    until(lambda: status.loaded(fresh_stage.gateway.directory).current)
    ended = threading.Event()

    def requests():  # type: ignore[no-untyped-def]
        yield infer_request("mnist")
        while not ended.wait(0.1):
            yield infer_request("mnist")

    with fresh_stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # Its client would wait for ever.
        stream = stub.ModelStreamInfer(requests(), metadata=(("x-api-key", snapshots.TEAM),))
        next(stream)
        fresh_stage.gateway.publish(without(bounded, snapshots.TEAM))
        with pytest.raises(grpc.RpcError):
            list(stream)
        ended.set()
    assert rest_status(fresh_stage) == 401


def test_a_killed_gateway_comes_back_with_what_was_published(fresh_stage: Stage) -> None:
    fresh_stage.gateway.kill()
    assert not status.ready(fresh_stage.gateway.directory)
    fresh_stage.gateway.run()
    assert rest_status(fresh_stage) == 200
    assert rest_status(fresh_stage, key="isk_bad") == 401
    assert status.ready(fresh_stage.gateway.directory)


@pytest.mark.parametrize("file", [names.KEYS, names.ROUTES])
def test_a_damaged_file_never_opens_the_gateway(fresh_stage: Stage, file: str) -> None:
    """It is ignored while Envoy runs, and without it nothing passes after a restart."""
    damaged = fresh_stage.gateway.directory / "damaged"
    damaged.write_bytes(b'{"resources": [{"@type": "nonsense"}]}')
    read = fresh_stage.gateway.directory / encoding.file_name(file)
    damaged.replace(read)
    for _ in range(5):
        assert rest_status(fresh_stage) == 200
        assert rest_status(fresh_stage, key="isk_bad") == 401
    fresh_stage.gateway.kill()
    read.unlink()
    fresh_stage.gateway.spawn()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            assert rest_status(fresh_stage, key="isk_bad") >= 400
            assert fresh_stage.gateway.call("POST", INFER, b"{}").status >= 400
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)  # it does not listen without its files, which is as good
    assert [call for call in fresh_stage.seen() if "isk_bad" in str(call)] == []


def test_the_dashboard_sees_what_is_loaded_and_who_is_healthy(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    until(lambda: status.loaded(directory).current)
    seen = {(replica.service, replica.protocol) for replica in status.replicas(directory)}
    assert seen == {(service, protocol) for service in ("mnist", "asr", "open") for protocol in ("http", "grpc")}
    assert all(replica.healthy for replica in status.replicas(directory))
    assert rest_status(fresh_stage, "/v2/models/asr/infer", snapshots.ADMIN) == 200
    fresh_stage.second.kill()
    until(lambda: [r for r in status.replicas(directory) if r.service == "asr" and not r.healthy])
