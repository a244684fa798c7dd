"""A replica that answers is reached: what its probes, its listener or a connection do meanwhile fails no request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from services.clients.envoy_admin import EnvoyAdmin
from services.gateway import status
from services.gateway.envoy import encoding, names
from services.listeners import Address
from tests.integration.gateway.changes.test_slow_machine import stopped
from tests.integration.gateway.stage import Stage, infer_request, send
from tests.servers.gateway.relay import Relay
from tests.servers.gateway.rig import until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
ANSWERS = 4
"""Answers of the backend to each message of a stream."""
BURST = 150
"""More requests at once than the retries that Envoy allows by itself."""


def rest(stage: Stage, service: str) -> tuple[int, str]:
    answer = stage.gateway.call("POST", f"/v2/models/{service}/infer", b"{}", X_API_Key=snapshots.ADMIN)
    return answer.status, "" if answer.status == 200 else answer.error


def over_grpc(stage: Stage, service: str) -> str:
    """The status; with its message, unless it is OK."""
    with stage.channel() as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        try:
            send(call, infer_request(service), key=snapshots.ADMIN)
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}"
    return "OK"


def healthy(stage: Stage, service: str) -> list[bool]:
    return sorted(seen.healthy for seen in status.replicas(stage.gateway.directory) if seen.service == service)


def running_clusters(stage: Stage) -> str:
    return EnvoyAdmin(stage.gateway.directory / names.ADMIN_SOCKET).versions()["cluster_manager.cds.version_text"]


def written_clusters(directory: Path) -> str:
    return encoding.version((directory / encoding.file_name(names.CLUSTERS)).read_bytes())


def test_no_route_leads_to_a_new_service_before_its_replica_was_probed_over_both_protocols(stage: Stage) -> None:
    new = snapshots.ready("late", stage.second.endpoint)
    wider = replace(stage.snapshot, services=(*stage.snapshot.services, new))
    before = written_clusters(stage.gateway.directory)
    with ThreadPoolExecutor(9) as pool:
        with stopped(stage.second.process):
            publishing = pool.submit(stage.gateway.publish, wider)
            until(lambda: written_clusters(stage.gateway.directory) != before)
            until(lambda: running_clusters(stage) == written_clusters(stage.gateway.directory))
            meanwhile = [pool.submit(call, stage, "late") for call in (rest, over_grpc) for _ in range(4)]
            until(lambda: meanwhile[0].done() or publishing.done())
        assert publishing.result()
        assert not [each for each in meanwhile if "No replica" in str(each.result())], "no route leads nowhere"
    until(lambda: status.loaded(stage.gateway.directory).current)
    assert (rest(stage, "late"), over_grpc(stage, "late")) == ((200, ""), "OK")


def test_a_replica_whose_probes_fail_is_asked_when_there_is_no_better_one(stage: Stage) -> None:
    stage.second.feel("ill")
    alone = snapshots.ready("alone", stage.second.endpoint)
    pair = snapshots.ready("pair", stage.first.endpoint, stage.second.endpoint)
    stage.gateway.publish(replace(stage.snapshot, services=(*stage.snapshot.services, alone, pair)))
    until(lambda: status.loaded(stage.gateway.directory).current)
    assert (healthy(stage, "alone"), healthy(stage, "pair")) == ([False, False], [False, False, True, True])
    assert (rest(stage, "alone"), over_grpc(stage, "alone")) == ((200, ""), "OK")
    seen = stage.second.count()
    assert {rest(stage, "pair")[0] for _ in range(10)} == {200}
    assert stage.second.count() == seen, "where another replica is well, that one is asked"
    stage.second.feel("well")
    until(lambda: all(healthy(stage, "alone")))


@pytest.fixture(scope="module")
def relayed(stage: Stage) -> Iterator[tuple[Stage, Relay]]:
    """A service `again` whose one replica is reached over gRPC through the relay."""
    relay = Relay(stage.first.endpoint.grpc)
    try:
        endpoint = replace(stage.first.endpoint, grpc=Address(host="127.0.0.1", port=relay.port))
        services = (*stage.snapshot.services, snapshots.ready("again", endpoint))
        stage.gateway.publish(replace(stage.snapshot, services=services))
        until(lambda: status.loaded(stage.gateway.directory).current)
        yield stage, relay
    finally:
        relay.close()


def connections(stage: Stage, what: str) -> int:
    """Counts for the one replica of `again`, from Envoy."""
    clusters: dict[str, Any] = EnvoyAdmin(stage.gateway.directory / names.ADMIN_SOCKET)._json("/clusters?format=json")
    (cluster,) = [each for each in clusters["cluster_statuses"] if each["name"] == "again-grpc"]
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in cluster["host_statuses"][0]["stats"]}
    return stats[what]


def messages(held: threading.Event) -> Iterator[Any]:
    yield infer_request("again", 100_000)
    held.wait(20)
    yield infer_request("again")


def test_requests_that_meet_a_closed_listener_are_tried_again_until_it_is_open(relayed: tuple[Stage, Relay]) -> None:
    stage, relay = relayed
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call, key = stub.ModelInfer, (("x-api-key", snapshots.ADMIN),)
        call(infer_request("again"), metadata=key, timeout=20)
        relay.close()
        until(lambda: connections(stage, "cx_active") == 0)  # a request on its way there may have been carried out
        burst = [call.future(infer_request("again"), metadata=key, timeout=20) for _ in range(BURST)]
        held = threading.Event()  # their callers have more to send, and go on sending
        streams = [stub.ModelStreamInfer(messages(held), metadata=key, timeout=20) for _ in range(10)]
        until(lambda: connections(stage, "cx_connect_fail") > 0)
        relay.listen()
        assert {each.exception() for each in burst} == {None}
        held.set()
        assert [len(list(stream)) for stream in streams] == [2 * ANSWERS] * len(streams), "nothing was sent twice"


def test_a_service_whose_replica_is_gone_is_unavailable_for_now(relayed: tuple[Stage, Relay]) -> None:
    stage, relay = relayed
    relay.close()
    with stage.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        send(service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer, infer_request("again"), key=snapshots.ADMIN)
    metadata = dict(caught.value.initial_metadata() or ()) | dict(caught.value.trailing_metadata() or ())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE and "No replica" in caught.value.details()
    assert metadata["retry-after"] == "1"


def test_a_request_that_was_sent_when_its_replica_ended_is_not_sent_again(stage: Stage) -> None:
    seen = stage.second.count()
    request = infer_request("asr")
    request.parameters["sleep_ms"].int64_param = 60_000
    with stage.channel() as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        waiting = call.future(request, metadata=(("x-api-key", snapshots.ADMIN),), timeout=60)
        until(lambda: stage.second.count() > seen)
        stage.second.kill()
        error = waiting.exception()
    assert error.code() is grpc.StatusCode.UNAVAILABLE and "may have been carried out" in error.details()
