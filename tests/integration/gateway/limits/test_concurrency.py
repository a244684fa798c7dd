"""How many requests a key and a service may have under way at once, and the bridge's own way in."""

from __future__ import annotations

import http.client
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from services.clients.unix_http import UnixConnection
from services.gateway.envoy.inside import EGRESS_SOCKET
from services.gateway.snapshot import Snapshot
from tests.integration.gateway.stage import Stage, infer_request, refused, send, staged
from tests.servers.gateway.rig import Answer, until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
TWO = "isk_twotwotwotwo_" + "0" * 49
LONG = "20000"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path / "g") as entered:
        key = replace(snapshots.key(TWO, "vision"), max_concurrent=2)
        tight = replace(snapshots.ready("tight", entered.first.endpoint), concurrency=1)
        entered.snapshot = Snapshot(services=(*entered.snapshot.services, tight), keys=(*snapshots.KEYS, key))
        entered.gateway.publish(entered.snapshot)
        until(lambda: rest(entered, "tight", snapshots.TEAM).status == 200)
        until(lambda: rest(entered, "mnist").status == 200)
        yield entered


def rest(stage: Stage, service: str, key: str = TWO, sleep_ms: str = "0") -> Answer:
    return stage.gateway.call("POST", f"/v2/models/{service}/infer", b"{}", X_API_Key=key, X_Sleep_Ms=sleep_ms)


def held(stage: Stage, service: str, key: str = TWO) -> socket.socket:
    """A request that the backend has and does not answer for a long time."""
    before = stage.count()
    connection = socket.create_connection(("127.0.0.1", stage.gateway.port), 10)
    head = (
        f"POST /v2/models/{service}/infer HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n"
        f"x-sleep-ms: {LONG}\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    connection.sendall(head.encode())
    until(lambda: stage.count() > before)
    return connection


def test_a_key_with_two_requests_under_way_may_not_send_a_third_over_rest(stage: Stage) -> None:
    first, second = held(stage, "mnist"), held(stage, "mnist")
    third = rest(stage, "mnist")
    assert third.status == 429
    assert third.headers["retry-after"] == "1"
    assert "as many requests under way" in third.error
    assert rest(stage, "open").status == 429, "it is counted over all services"
    assert rest(stage, "mnist", snapshots.TEAM).status == 200, "other keys are not concerned"
    first.close()  # the caller goes away: the request is over, whatever the backend does
    until(lambda: rest(stage, "mnist").status == 200)
    second.close()


def test_grpc_calls_are_counted_with_those_over_rest_and_freed_when_they_end_or_are_cancelled(stage: Stage) -> None:
    slow = infer_request("mnist")
    slow.parameters["sleep_ms"].int64_param = int(LONG)
    key = (("x-api-key", TWO),)
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert send(stub.ModelInfer, infer_request("mnist"), key=TWO).model_name == "mnist"
        assert len(send(stub.ModelStreamInfer, iter([infer_request("mnist")]), key=TWO)) == 4
        by_rest = held(stage, "mnist")
        before = stage.count()
        pending = stub.ModelInfer.future(slow, metadata=key, timeout=30)
        until(lambda: stage.count() > before)
        code, message, headers = refused(stub.ModelInfer, infer_request("mnist"), key=TWO)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "as many requests under way" in message
        assert headers["retry-after"] == "1"
        pending.cancel()
        until(lambda: rest(stage, "mnist").status == 200)
        by_rest.close()


def test_of_many_at_once_no_more_than_two_reach_a_backend(stage: Stage) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: rest(stage, "mnist", sleep_ms="1000").status, range(12)))
    assert answers.count(200) == 2
    assert answers.count(429) == 10


def test_a_service_takes_no_more_than_it_says_from_everybody_together(stage: Stage) -> None:
    first = held(stage, "tight", snapshots.TEAM)
    second = rest(stage, "tight", snapshots.ADMIN)
    assert (second.status, second.headers["retry-after"]) == (429, "1")
    assert "tight has as many requests" in second.error
    assert rest(stage, "mnist", snapshots.TEAM).status == 200
    first.close()
    until(lambda: rest(stage, "tight", snapshots.ADMIN).status == 200)


def by_egress(stage: Stage, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = UnixConnection(stage.gateway.directory / EGRESS_SOCKET, 10)
    try:
        connection.request(method, path, b"{}", {name.replace("_", "-"): text for name, text in headers.items()})
        response: http.client.HTTPResponse = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_bridge_reaches_a_service_it_names_and_nothing_else(stage: Stage) -> None:
    assert by_egress(stage, "POST", "/v2/models/mnist/infer", x_service="mnist")[0] == 200
    before = stage.count()
    assert by_egress(stage, "POST", "/v2/models/mnist/infer", x_service="nobody")[0] == 404
    assert by_egress(stage, "POST", "/v2/models/mnist/infer")[0] == 404
    assert by_egress(stage, "GET", "/v2/repository/index", x_service="mnist")[0] == 404
    assert by_egress(stage, "POST", "/v2/models/slow/infer", x_service="slow")[0] == 503
    assert stage.count() == before
    with grpc.insecure_channel(f"unix:{stage.gateway.directory / EGRESS_SOCKET}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert send(stub.ModelInfer, infer_request("mnist"), x_service="mnist").model_name == "mnist"
        assert len(send(stub.ModelStreamInfer, iter([infer_request("mnist")]), x_service="mnist")) == 4


def test_only_the_owner_may_open_the_bridges_way_in(stage: Stage) -> None:
    path = stage.gateway.directory / EGRESS_SOCKET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_limited_key_of_a_gateway_that_was_killed_starts_at_nothing(stage: Stage) -> None:
    held(stage, "mnist")
    held(stage, "mnist")
    stage.gateway.kill()
    stage.gateway.run()
    until(lambda: rest(stage, "mnist").status == 200)
