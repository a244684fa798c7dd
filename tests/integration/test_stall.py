"""A real Triton that hangs while it says that it is ready, and one that is replaced while it still talks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.gateway import status
from tests.integration.live import Answer, Live, send

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]

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
    """Of the replicas that the gateway sends REST requests to."""
    seen = status.replicas(live.stack.home.gateway)
    return {each.address for each in seen if (each.service, each.protocol) == (service, "http")}


def tensor(value: float) -> dict[str, Any]:
    return {"inputs": [{"name": "IN", "datatype": "FP32", "shape": [1], "data": [value]}]}


def test_a_replica_that_hangs_leaves_within_30_seconds_and_the_other_serves_on(live: Live, models: str) -> None:
    live.create("blocks", "blocks", dataset=models, replicas=2)
    live.wait("blocks")
    stuck: list[Answer] = []
    began = time.monotonic()
    url, headers = f"{live.gateway}/v2/models/blocks/infer", {"X-API-Key": live.key}
    hanging = threading.Thread(target=lambda: stuck.append(send(url, tensor(-1), headers=headers, timeout=90)))
    hanging.start()
    try:
        events = live.until(
            lambda: [event["message"] for event in live.api("services/blocks/events/").body["results"]],
            lambda messages: any("hung" in message for message in messages),
            60,
        )
        live.until(lambda: addresses(live, "blocks"), lambda seen: len(seen) == 1, 15)
        took = time.monotonic() - began
        assert took < 30, f"{took:.1f} s: {events}"
        for _ in range(10):  # the one that is left takes them all
            began = time.monotonic()
            assert live.infer("blocks", tensor(1)).status == 200
            assert time.monotonic() - began < 5
        live.until(
            lambda: live.service("blocks"),
            lambda seen: seen["state"] == "READY" and not seen["message"],
            60,
        )
    finally:
        hanging.join(60)
        live.delete("blocks")
    assert stuck[0].status >= 500


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
