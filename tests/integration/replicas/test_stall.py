"""A real Triton that hangs while it says that it is ready, or altogether, and one that is replaced while it talks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.gateway import status
from tests.integration.live import Answer, Live, send

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-changes")]

CONFIG = """backend: "python"
model_transaction_policy { decoupled: True }
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
ONCE = CONFIG.replace("model_transaction_policy { decoupled: True }\n", "")
BLOCKS = """import time
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            value = pb_utils.get_input_tensor_by_name(request, "IN")
            while value.as_numpy()[0] < 0:
                time.sleep(1)
            began = time.process_time()
            while time.process_time() - began < value.as_numpy()[0] - 1:
                pass
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", value.as_numpy())]))
        return answers
"""
TALKS = """import time
import numpy as np
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for i in range(int(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()[0])):
                out = pb_utils.Tensor("OUT", np.array([i], dtype=np.float32))
                sender.send(pb_utils.InferenceResponse([out]))
                time.sleep(0.5)
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


@pytest.fixture(scope="module")
def models(live: Live) -> Iterator[str]:
    root = live.stack.datasets / "stalls"
    for name, config, code in (("blocks", ONCE, BLOCKS), ("talks", CONFIG, TALKS)):
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(config)
        (root / name / "1" / "model.py").write_text(code)
    body = {"name": "stalls", "kind": "local", "options": {"path": str(root)}}
    assert live.api("datasets/", body, method="POST").status == 201
    assert live.api("datasets/stalls/trust/", {"trusted": True}, method="POST").status == 200
    yield "stalls"
    live.api("datasets/stalls/", method="DELETE")


def addresses(live: Live, service: str) -> set[str]:
    """Addresses of the replicas that the gateway sends REST requests to."""
    seen = status.replicas(live.stack.home.gateway)
    return {each.address for each in seen if (each.service, each.protocol) == (service, "http")}


def tensor(value: float) -> dict[str, Any]:
    return {"inputs": [{"name": "IN", "datatype": "FP32", "shape": [1], "data": [value]}]}


def events(live: Live, service: str) -> list[str]:
    return [event["message"] for event in live.api(f"services/{service}/events/").body["results"]]


def hung(live: Live, service: str) -> list[str]:
    """Until a replica of the service was found hung."""
    seen: list[str] = live.until(lambda: [message for message in events(live, service) if "hung" in message], bool, 90)
    return seen


def test_a_replica_that_hangs_leaves_and_the_other_serves_on(live: Live, models: str) -> None:
    live.create("blocks", "blocks", dataset=models, replicas=2, limits={"stall_seconds": 5})
    live.wait("blocks")
    stuck: list[Answer] = []
    url, headers = f"{live.gateway}/v2/models/blocks/infer", {"X-API-Key": live.key}
    hanging = threading.Thread(target=lambda: stuck.append(send(url, tensor(-1), headers=headers, timeout=90)))
    hanging.start()
    try:
        assert "neither computed nor read" in hung(live, "blocks")[0]
        live.until(lambda: addresses(live, "blocks"), lambda seen: len(seen) == 1)
        for _ in range(10):  # the one that is left takes them all
            assert live.infer("blocks", tensor(1)).status == 200
        live.until(
            lambda: live.service("blocks"),
            lambda seen: seen["state"] == "READY" and not seen["message"],
            60,
        )
    finally:
        hanging.join(60)
        live.delete("blocks")
    assert stuck[0].status >= 500


@pytest.fixture(scope="module")
def lone(live: Live, models: str) -> Iterator[str]:
    """A service with one replica."""
    live.create("lone", "blocks", dataset=models, limits={"stall_seconds": 5})
    live.wait("lone")
    yield "lone"
    live.delete("lone")


def family(live: Live, service: str) -> list[psutil.Process]:
    """The server of its one replica, and what that started; of the process that is there now."""

    def look() -> list[psutil.Process]:
        [row] = live.service(service)["replica_list"]
        try:
            server = psutil.Process(row["pid"] or -1)
            return [server, *server.children(recursive=True)]
        except (psutil.NoSuchProcess, ValueError):
            return []

    processes: list[psutil.Process] = live.until(look, bool)
    return processes


def serves_anew(live: Live, service: str, before: list[psutil.Process]) -> None:
    """With other processes than before, and nothing left of those."""
    live.until(lambda: live.infer(service, tensor(1)).status, lambda status: status == 200)
    live.wait(service)
    live.until(lambda: [process for process in before if process.is_running()], lambda left: not left)


def test_a_server_that_is_stopped_is_started_again_without_a_request(live: Live, lone: str) -> None:
    before, known_events = family(live, lone), len(events(live, lone))
    before[0].suspend()
    live.until(
        lambda: events(live, lone)[: -known_events or None], lambda new: any("hung" in message for message in new)
    )
    meanwhile = live.infer(lone, tensor(1))
    assert meanwhile.status == 200 or (meanwhile.status == 503 and "retry-after" in meanwhile.headers)
    serves_anew(live, lone, before)


def test_a_model_process_that_is_stopped_while_its_server_is_well_is_started_again(live: Live, lone: str) -> None:
    """By itself, without a request: Triton would fail each one and say that it is ready."""
    before = family(live, lone)
    [stub] = [process for process in before if "stub" in process.name()]
    stub.suspend()
    live.until(lambda: family(live, lone), lambda now: now[0] != before[0])
    serves_anew(live, lone, before)


def test_a_request_that_computes_for_long_is_waited_for(live: Live, lone: str) -> None:
    """At least twice `stall_seconds`, and nothing else is answered meanwhile."""
    before, known_events = family(live, lone), len(events(live, lone))
    url, headers = f"{live.gateway}/v2/models/{lone}/infer", {"X-API-Key": live.key}
    assert send(url, tensor(11), headers=headers, timeout=120).status == 200
    assert family(live, lone)[0] == before[0]
    assert len(events(live, lone)) == known_events


def test_a_stream_outlives_the_rollout_of_a_new_revision(live: Live, models: str) -> None:
    live.create("talks", "talks", dataset=models)
    live.wait("talks")
    request = service_pb2.ModelInferRequest(model_name="talks")
    tensor = request.inputs.add(name="IN", datatype="FP32", shape=[1])
    tensor.contents.fp32_contents.append(36)
    heard: list[Any] = []
    try:
        with grpc.insecure_channel(live.grpc_target) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            stream = stub.ModelStreamInfer(iter([request]), metadata=(("x-api-key", live.key),), timeout=90)
            heard.append(next(stream))
            before = live.service("talks")["revision"]
            changed = live.api("services/talks/", {"env": {"NEW": "1"}}, method="PATCH")
            assert changed.status in {200, 202}, changed.body
            live.until(
                lambda: [event["message"] for event in live.api("services/talks/events/").body["results"]],
                lambda messages: any(f"Revision {before + 1} serves now" in message for message in messages),
                60,
            )
            heard.extend(stream)
        texts = [answer.error_message for answer in heard if answer.error_message]
        assert texts == []
        assert len(heard) == 36
    finally:
        live.delete("talks")
