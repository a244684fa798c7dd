"""A real Triton model that counts the requests of a sequence, at two replicas behind the gateway."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from services.gateway import status
from services.gateway.snapshot import Endpoint, Snapshot
from tests.servers.gateway.rig import Gateway, until
from tests.servers.triton import RunningTriton, context_for, runtime_root, serve
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
NAME = "counter"
KEY = {"x-api-key": snapshots.TEAM}  # copied for each call: a client adds to it
CONFIG = """backend: "python"
max_batch_size: 4
input [{ name: "IN" data_type: TYPE_INT32 dims: [1] }]
output [{ name: "COUNT" data_type: TYPE_INT32 dims: [1] }]
sequence_batching {
  max_sequence_idle_microseconds: 600000000
  oldest { max_candidate_sequences: 64 }
  control_input [
    { name: "START" control [{ kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] }] },
    { name: "ID" control [{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }] }
  ]
}
"""
MODEL = """import numpy
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.counts = {}

    def execute(self, requests):
        return [self.count(request) for request in requests]

    def count(self, request):
        start, which = (pb_utils.get_input_tensor_by_name(request, name).as_numpy().flat[0] for name in ("START", "ID"))
        self.counts[which] = 1 if start else self.counts.get(which, 0) + 1
        return pb_utils.InferenceResponse([pb_utils.Tensor("COUNT", numpy.array([[self.counts[which]]], "int32"))])
"""
LENGTH = 8


class Counters:
    def __init__(self, gateway: Gateway, tritons: list[RunningTriton]) -> None:
        self.gateway = gateway
        self.endpoints = [Endpoint(t.listeners.http, t.listeners.grpc, i) for i, t in enumerate(tritons)]

    def publish(self, *endpoints: Endpoint) -> None:
        service = replace(snapshots.ready(NAME, *endpoints), sequences=True)
        self.gateway.publish(Snapshot(services=(service,), keys=snapshots.KEYS))


@pytest.fixture(scope="module")
def counters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counters]:
    """Two replicas that serve, and one that takes their place in a rollout."""
    tree = tmp_path_factory.mktemp("m") / NAME
    (tree / "1").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(CONFIG)
    (tree / "1" / "model.py").write_text(MODEL)
    with ExitStack() as stack:
        contexts = [context_for(NAME, tree, tmp_path_factory.mktemp("t"), runtime_root()) for _ in range(3)]
        tritons = [stack.enter_context(serve(context)) for context in contexts]
        gateway = stack.enter_context(
            Gateway.started(tmp_path_factory.mktemp("g") / "g", Snapshot(keys=snapshots.KEYS))
        )
        opened = Counters(gateway, tritons)
        opened.publish(*opened.endpoints[:2])
        until(lambda: gateway.call("GET", f"/v2/models/{NAME}/ready", X_API_Key=snapshots.TEAM).status == 200)
        yield opened


def tensor(client: Any) -> Any:
    infer_input = client.InferInput("IN", [1, 1], "INT32")
    infer_input.set_data_from_numpy(np.array([[1]], dtype=np.int32))
    return infer_input


def options(sequence: int, step: int) -> dict[str, Any]:
    return {"sequence_id": sequence, "sequence_start": step == 0, "sequence_end": step == LENGTH - 1}


def over_rest(counters: Counters, sequence: int, steps: range = range(LENGTH)) -> list[int]:
    """A connection for each request, as many callers have it."""
    outputs = []
    for step in steps:
        with tritonclient.http.InferenceServerClient(counters.gateway.address) as client:
            answer = client.infer(NAME, [tensor(tritonclient.http)], headers=dict(KEY), **options(sequence, step))
        outputs.append(int(answer.as_numpy("COUNT").flat[0]))
    return outputs


def unary(counters: Counters, sequence: int, steps: range = range(LENGTH)) -> list[int]:
    with tritonclient.grpc.InferenceServerClient(counters.gateway.address) as client:
        one = tensor(tritonclient.grpc)
        answers = [client.infer(NAME, [one], headers=dict(KEY), **options(sequence, step)) for step in steps]
    return [int(answer.as_numpy("COUNT").flat[0]) for answer in answers]


def streamed(counters: Counters, sequence: int, steps: range = range(LENGTH)) -> list[int]:
    """A stream for each request."""
    outputs = []
    for step in steps:
        answers: queue.Queue[Any] = queue.Queue()
        with tritonclient.grpc.InferenceServerClient(counters.gateway.address) as client:
            client.start_stream(lambda result, error, into=answers: into.put(error or result), headers=dict(KEY))
            client.async_stream_infer(NAME, [tensor(tritonclient.grpc)], **options(sequence, step))
            answer = answers.get(timeout=30)
            client.stop_stream()
        if isinstance(answer, Exception):
            raise answer
        outputs.append(int(answer.as_numpy("COUNT").flat[0]))
    return outputs


PROTOCOLS = [over_rest, unary, streamed]
Send = Callable[..., list[int]]


@pytest.mark.parametrize("send", PROTOCOLS)
def test_every_sequence_is_counted_to_its_end(counters: Counters, send: Send) -> None:
    for sequence in (101, 102, 103, 104):
        for _ in range(2):
            assert send(counters, sequence) == list(range(1, LENGTH + 1))


def test_a_sequence_goes_on_over_another_protocol(counters: Counters) -> None:
    for sequence in (201, 202, 203, 204):
        assert over_rest(counters, sequence, range(3)) == [1, 2, 3]
        assert unary(counters, sequence, range(3, 5)) == [4, 5]
        assert streamed(counters, sequence, range(5, LENGTH)) == [6, 7, 8]


def test_a_rollout_refuses_a_sequence_in_its_middle_instead_of_counting_wrong(counters: Counters) -> None:
    sequences = {send: 301 + number for number, send in enumerate(PROTOCOLS)}
    for send, sequence in sequences.items():
        assert send(counters, sequence, range(3)) == [1, 2, 3]
    renewed = tuple(replace(each, index=i) for i, each in enumerate(counters.endpoints[2:]))
    counters.publish(*renewed)
    until(lambda: listed(counters) == addresses(renewed))
    for send, sequence in sequences.items():
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            send(counters, sequence, range(3, 5))
        assert send(counters, sequence) == list(range(1, LENGTH + 1)), "begun anew it is counted"


def addresses(endpoints: tuple[Endpoint, ...]) -> set[str]:
    return {str(address) for each in endpoints for address in (each.http, each.grpc)}


def listed(counters: Counters) -> set[str]:
    return {seen.address for seen in status.replicas(counters.gateway.directory)}
