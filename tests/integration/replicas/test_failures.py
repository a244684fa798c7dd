"""A real Triton that hangs, ends each time it is started, or is replaced while it talks.

Each test has a service of its own. All that hang do so at once: the console must be sure before it ends one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.engines.local import sandboxes
from services.gateway import status
from tests.integration.engine_home import child_named, server_of
from tests.integration.live import Answer, Live, send

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-changes")]

CONFIG = """backend: "python"
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
STREAMS = "model_transaction_policy { decoupled: True }\n"
COMPUTES = """import os
import time
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        if os.path.exists("/run/replica/order"):
            with open("/run/replica/order") as file:
                order = file.read()
            if order == "hang":
                print("it hangs", flush=True)
                time.sleep(3600)
            raise RuntimeError(order)
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
TALKS = """import os
import time
import numpy as np
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender, count = request.get_response_sender(), 0
            while not os.path.exists("/run/replica/order"):
                out = pb_utils.Tensor("OUT", np.array([count], dtype=np.float32))
                sender.send(pb_utils.InferenceResponse([out]))
                count += 1
                time.sleep(0.2)
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


@pytest.fixture(scope="module")
def services(live: Live) -> Iterator[Callable[[str], Path]]:
    """READY. `services(name)` is where its model looks for an order; any ends the stream of `talks`."""
    if problem := sandboxes.problem():
        pytest.skip(f"its models look for orders at the paths of a box: {problem}")
    root = live.stack.datasets / "failing"
    for name, config, code in (("computes", CONFIG, COMPUTES), ("talks", STREAMS + CONFIG, TALKS)):
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(config)
        (root / name / "1" / "model.py").write_text(code)
    body = {"name": "failing", "kind": "local", "options": {"path": str(root)}}
    assert live.api("datasets/", body, method="POST").status == 201
    assert live.api("datasets/failing/trust/", {"trusted": True}, method="POST").status == 200

    def order(name: str) -> Path:
        return live.stack.home.replicas / f"svc-{name}-r1-0" / "order"

    names = ["blocks", "lone", "stub", "slow", "hangs", "needy", "talks"]
    for name in names:
        live.create(
            name,
            "talks" if name == "talks" else "computes",
            dataset="failing",
            replicas=2 if name == "blocks" else 1,
            resources={"cpu": 0.1, "memory_gib": 0.1},
            limits={"stall_seconds": 5},
        )
    for name in names:
        live.wait(name)
    yield order
    live.delete(*names)
    live.api("datasets/failing/", method="DELETE")


@dataclass(frozen=True)
class Hurt:
    """How each service was before, and the requests that were sent then."""

    families: dict[str, list[psutil.Process]]
    answers: dict[str, Future[Answer]]


@pytest.fixture(scope="module")
def hurt(live: Live, services: Callable[[str], Path]) -> Iterator[Hurt]:
    """One replica of `blocks` waits for ever, `lone` is stopped, so is the model process of `stub`, `hangs` is
    started anew and waits for ever while it loads its model; `slow` only computes, for twice its `stall_seconds`.
    """
    families = {name: family(live, name) for name in ("lone", "stub", "slow", "hangs")}
    with ThreadPoolExecutor() as pool:
        answers = {name: pool.submit(ask, live, name, value) for name, value in (("blocks", -1), ("slow", 11))}
        server_of(families["lone"][0].pid).suspend()
        child_named(families["stub"][0].pid, "stub").suspend()
        services("hangs").write_text("hang")
        server_of(families["hangs"][0].pid).kill()
        yield Hurt(families, answers)


def ask(live: Live, service: str, value: float) -> Answer:
    body = {"inputs": [{"name": "IN", "datatype": "FP32", "shape": [1], "data": [value]}]}
    headers = {"X-API-Key": live.key}
    return send(f"{live.gateway}/v2/models/{service}/infer", body, headers=headers, timeout=120)


def events(live: Live, service: str) -> list[str]:
    return [event["message"] for event in live.api(f"services/{service}/events/").body["results"]]


def hung(live: Live, service: str) -> str:
    """Waits until a replica of the service was found hung. The message."""
    messages = live.until(lambda: [message for message in events(live, service) if "hung" in message], bool)
    return str(messages[0])


def replica(live: Live, service: str) -> dict[str, Any]:
    [row] = live.service(service)["replica_list"]
    return dict(row)


def family(live: Live, service: str) -> list[psutil.Process]:
    """The keeper of its one replica, the server, and what that started; of the process that is there now."""

    def look() -> list[psutil.Process]:
        try:
            keeper = psutil.Process(replica(live, service)["pid"] or -1)
            return [keeper, *keeper.children(recursive=True)]
        except (psutil.NoSuchProcess, ValueError):
            return []

    processes: list[psutil.Process] = live.until(look, bool)
    return processes


def serves(live: Live, service: str) -> None:
    """Waits until it does."""
    live.until(lambda: ask(live, service, 1).status, lambda status: status == 200)
    live.wait(service)  # it answered before the gateway had read that it was taken out


def serves_anew(live: Live, service: str, before: list[psutil.Process]) -> None:
    """With other processes than before, and nothing left of those."""
    live.until(lambda: family(live, service), lambda now: now[0] != before[0])
    serves(live, service)
    live.until(lambda: [process for process in before if process.is_running()], lambda left: not left)


def test_a_replica_that_hangs_leaves_and_the_other_serves_on(live: Live, hurt: Hurt) -> None:
    def addresses() -> set[str]:
        """Where the gateway sends REST requests."""
        seen = status.replicas(live.stack.home.gateway)
        return {each.address for each in seen if (each.service, each.protocol) == ("blocks", "http")}

    assert "neither computed nor read" in hung(live, "blocks")
    live.until(addresses, lambda seen: len(seen) == 1)
    for _ in range(10):  # the one that is left takes them all
        assert ask(live, "blocks", 1).status == 200
    live.until(lambda: live.service("blocks"), lambda seen: seen["state"] == "READY" and not seen["message"])
    assert hurt.answers["blocks"].result().status >= 500


def test_a_server_that_is_stopped_is_started_again_without_a_request(live: Live, hurt: Hurt) -> None:
    hung(live, "lone")
    meanwhile = ask(live, "lone", 1)
    assert meanwhile.status == 200 or (meanwhile.status == 503 and "retry-after" in meanwhile.headers)
    serves_anew(live, "lone", hurt.families["lone"])


def test_a_model_process_that_is_stopped_while_its_server_is_well_is_started_again(live: Live, hurt: Hurt) -> None:
    """By itself, without a request: Triton would fail each one and say that it is ready."""
    serves_anew(live, "stub", hurt.families["stub"])


def test_a_request_that_computes_for_long_is_waited_for(live: Live, hurt: Hurt) -> None:
    """At least twice `stall_seconds`, and nothing else is answered meanwhile."""
    assert hurt.answers["slow"].result().status == 200
    assert family(live, "slow")[0] == hurt.families["slow"][0]
    assert not [message for message in events(live, "slow") if "hung" in message]


def test_a_start_that_hangs_after_it_was_up_is_started_again(
    live: Live, services: Callable[[str], Path], hurt: Hurt
) -> None:
    """Its process is there and waits for ever while the model is loaded."""
    log = live.stack.home.logs / "replicas" / f"{replica(live, 'hangs')['name']}.log"
    live.until(log.read_text, lambda text: "it hangs" in text)
    services("hangs").unlink()
    assert "did not answer" in hung(live, "hangs")
    serves(live, "hangs")


def test_it_is_tried_again_until_each_cause_is_gone(live: Live, services: Callable[[str], Path]) -> None:
    def in_backoff(reason: str) -> dict[str, Any]:
        """Waits until the next start is planned because of `reason`."""
        row = live.until(
            lambda: replica(live, "needy"), lambda row: row["state"] == "BACKOFF" and reason in row["message"]
        )
        return dict(row)

    order = services("needy")
    order.write_text("it needs a file")
    server_of(family(live, "needy")[0].pid).kill()
    waiting = in_backoff("it needs a file")
    assert waiting["retry_at"] and "It is started again at" in waiting["message"]
    service = live.service("needy")
    assert service["state"] == "DEGRADED" and waiting["message"] in service["message"]
    refused = ask(live, "needy", 1)
    assert refused.status == 503 and "retry-after" in refused.headers

    live.stack.kill("worker")  # the plan is in the row
    order.unlink()  # one cause goes, another comes
    order.mkdir()
    later = in_backoff("Is a directory")
    assert later["attempts"] > waiting["attempts"]
    order.rmdir()
    serves(live, "needy")
    assert replica(live, "needy")["retry_at"] is None
    assert sum("ends each time" in message for message in events(live, "needy")) == 1


def test_a_stream_outlives_the_rollout_of_a_new_revision(live: Live, services: Callable[[str], Path]) -> None:
    request = service_pb2.ModelInferRequest(model_name="talks")
    request.inputs.add(name="IN", datatype="FP32", shape=[1]).contents.fp32_contents.append(1)
    with grpc.insecure_channel(live.grpc_target) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stream = stub.ModelStreamInfer(iter([request]), metadata=(("x-api-key", live.key),), timeout=90)
        heard = [next(stream)]
        before = live.service("talks")
        env = {**before["env"], "NEW": "1"}
        assert live.api("services/talks/", {"env": env}, method="PATCH").status == 200
        sentence = f"Revision {before['revision'] + 1} serves now"
        live.until(lambda: events(live, "talks"), lambda messages: any(sentence in message for message in messages))
        services("talks").touch()
        heard += stream
    assert [answer.error_message for answer in heard if answer.error_message] == []
    values = [float(np.frombuffer(answer.infer_response.raw_output_contents[0], "<f4")[0]) for answer in heard]
    assert values == list(range(len(heard)))
