"""One sequence id stays at one replica, whichever protocol carries it and however its replicas are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.clients.envoy_admin import EnvoyAdmin
from services.gateway import status
from services.gateway.envoy import names
from services.gateway.snapshot import Endpoint, Snapshot
from tests.integration.gateway.stage import infer_request, send
from tests.servers.gateway.rig import Backend, Gateway, until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
KEY = "isk_concurrent00_0000000000000000000000000000000000000000000"
"""With a limit of requests at once, so that its requests take the inner way."""
TEXTS = ("abc", 'quoted "\\/', "straße", "序列", "🙂🙃", "tab\tnul\x00del\x7f", "x" * 128, "7")
NUMBERS = (1, 7, 127, 128, 300, 2**31, 2**53 + 1, 2**63 - 1)


class Pair:
    """A gateway with the service `counter`, whose model has sequences, at two replicas."""

    def __init__(self, stack: ExitStack, directory: Any) -> None:
        self.backends = [stack.enter_context(Backend.borrow(name)) for name in ("one", "two")]
        self.endpoints = tuple(replace(each.endpoint, index=i) for i, each in enumerate(self.backends))
        key = replace(snapshots.key(KEY, "vision"), max_concurrent=8)
        self.snapshot = Snapshot((self.service(*self.endpoints),), (*snapshots.KEYS, key))
        self.gateway = stack.enter_context(Gateway.started(directory, self.snapshot))
        self.channel = stack.enter_context(grpc.insecure_channel(self.gateway.address))
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def service(self, *endpoints: Endpoint) -> Any:
        return replace(snapshots.ready("counter", *endpoints), sequences=True)

    def publish(self, *endpoints: Endpoint) -> None:
        self.gateway.publish(replace(self.snapshot, services=(self.service(*endpoints),)))
        admin = EnvoyAdmin(self.gateway.directory / names.ADMIN_SOCKET)
        until(lambda: status.loaded(self.gateway.directory).current and admin.warming() == 0)

    def rest(self, body: str, key: str = snapshots.ADMIN) -> tuple[str, str]:
        """Which replica had it, and the header that decided so."""
        before = [backend.count() for backend in self.backends]
        answer = self.gateway.call("POST", "/v2/models/counter/infer", body.encode(), X_API_Key=key)
        assert answer.status == 200, answer.body
        return self.last(before)

    def rest_status(self, body: str) -> int:
        return self.gateway.call("POST", "/v2/models/counter/infer", body.encode(), X_API_Key=snapshots.ADMIN).status

    def unary(self, request: Any, key: str = snapshots.ADMIN) -> tuple[str, str]:
        before = [backend.count() for backend in self.backends]
        send(self.stub.ModelInfer, request, key=key)
        return self.last(before)

    def stream(self, *requests: Any, key: str = snapshots.ADMIN) -> tuple[str, str]:
        before = [backend.count() for backend in self.backends]
        send(self.stub.ModelStreamInfer, iter(requests), key=key)
        return self.last(before)

    def last(self, before: list[int]) -> tuple[str, str]:
        seen = [
            (backend.name, str(call["headers"].get("x-sequence", "")))
            for backend, count in zip(self.backends, before, strict=True)
            for call in backend.seen(count)
        ]
        (request,) = seen
        return request


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, tmp_path_factory.mktemp("s") / "g")


def of(sequence: int | str) -> Any:
    """A message of that sequence, with parameters of every kind around it, and a tensor."""
    request = infer_request("counter", 70_000)
    request.parameters["priority"].int64_param = 3
    request.parameters["sequence_start"].bool_param = True
    if isinstance(sequence, str):
        request.parameters["sequence_id"].string_param = sequence
    else:
        request.parameters["sequence_id"].int64_param = sequence
    request.parameters["sequence_ids"].string_param = "another"
    return request


def body(sequence: int | str, **style: Any) -> str:
    parameters = {"priority": 3, "sequence_id": sequence, "sequence_start": True, "x": {"sequence_id": 0}}
    return json.dumps({"inputs": [{"parameters": {"sequence_id": 99}}], "parameters": parameters}, **style)


@pytest.mark.parametrize("sequence", [*TEXTS, *NUMBERS], ids=ascii)
def test_every_protocol_takes_a_sequence_to_the_same_replica(pair: Pair, sequence: int | str) -> None:
    over_rest = pair.rest(body(sequence))
    assert over_rest[1], "it was found"
    assert pair.rest(body(sequence, ensure_ascii=False, indent=2)) == over_rest
    assert pair.unary(of(sequence)) == pair.stream(of(sequence)) == pair.stream(of(sequence), of(1)) == over_rest
    assert pair.rest(body(sequence), KEY) == pair.unary(of(sequence), KEY) == over_rest


def test_sequences_are_spread_and_numbers_are_no_texts(pair: Pair) -> None:
    used = {pair.unary(of(number)) for number in range(1, 33)}
    assert {name for name, _ in used} == {"one", "two"} and len({header for _, header in used}) == 32
    assert pair.unary(of(7))[1] != pair.unary(of("7"))[1]


def test_the_last_of_two_ids_counts_as_it_does_for_a_backend(pair: Pair) -> None:
    twice = service_pb2.ModelInferRequest.FromString(b"")  # what follows is appended on the wire
    wire = of(1).SerializeToString() + of("later").SerializeToString()
    twice.MergeFromString(wire)
    assert twice.parameters["sequence_id"].string_param == "later"
    raw = pair.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    before = [backend.count() for backend in pair.backends]
    raw(wire, metadata=(("x-api-key", snapshots.ADMIN),), timeout=20)
    assert pair.last(before) == pair.rest(body("later"))


def test_an_id_that_a_caller_writes_into_the_header_is_not_looked_at(pair: Pair) -> None:
    before = [backend.count() for backend in pair.backends]
    send(pair.stub.ModelInfer, infer_request("counter"), key=snapshots.ADMIN, x_sequence="n7")
    assert pair.last(before)[1] == ""


def test_a_sequence_stays_where_it_is_when_probes_fail_and_when_ports_change(pair: Pair) -> None:
    where = {number: pair.unary(of(number))[0] for number in range(1, 9)}
    pair.backends[0].feel("ill")
    first, second = pair.endpoints
    pair.publish(replace(second, index=0), replace(first, index=1))
    swapped = {"one": "two", "two": "one"}
    assert {number: swapped[pair.unary(of(number))[0]] for number in range(1, 9)} == where, "the index counts"
    pair.publish(first, second)  # new clusters to Envoy, which has probed both replicas once
    assert sorted(seen.healthy for seen in status.replicas(pair.gateway.directory)) == [False, False, True, True]
    assert {number: pair.unary(of(number))[0] for number in range(1, 9)} == where
    assert {number: pair.rest(body(number))[0] for number in range(1, 9)} == where
    pair.backends[0].feel("well")


def test_a_sequence_whose_replica_is_gone_is_unavailable_and_moves_nowhere(pair: Pair) -> None:
    lost = next(number for number in range(1, 99) if pair.unary(of(number))[0] == "one")
    pair.backends[0].kill()
    with pytest.raises(grpc.RpcError) as caught:
        send(pair.stub.ModelInfer, of(lost), key=snapshots.ADMIN)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    pair.backends[0] = Backend.start("one", pair.backends[0].endpoint)
    until(lambda: pair.rest_status(body(lost)) == 200)
    assert pair.unary(of(lost))[0] == "one"
