"""Each change of a running service, under load, with one replica and then with two: no request fails.

The exception is a person's own choice: `recreate`, where two revisions do not fit at once. Real Triton, real Envoy.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from tests.integration.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-changes")]

CPU = 0.1
CONFIG = """backend: "python"
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
MODEL = """import os
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        if os.environ.get("BROKEN"):
            raise RuntimeError("the weights are missing")
    def execute(self, requests):
        read = pb_utils.get_input_tensor_by_name
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", read(r, "IN").as_numpy())]) for r in requests]
"""
BODY = {"inputs": [{"name": "IN", "datatype": "FP32", "shape": [1], "data": [1]}]}


@dataclass
class Load:
    """Two callers, REST and gRPC, each with one request at a time, a few requests a second."""

    live: Live
    name: str
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def rest(self) -> str:
        try:
            answer = self.live.infer(self.name, BODY)
        except OSError as error:
            return str(error)
        return "" if answer.status == 200 else f"{answer.status} {answer.body}"

    def grpc(self, client: grpcclient.InferenceServerClient) -> str:
        tensor = grpcclient.InferInput("IN", [1], "FP32")
        tensor.set_data_from_numpy(np.ones(1, np.float32))
        headers = {"authorization": f"Bearer {self.live.key}"}
        try:
            client.infer(self.name, [tensor], headers=headers, client_timeout=30)
        except InferenceServerException as error:
            return str(error)
        return ""

    def call(self, ask: Callable[[], str]) -> None:
        while not self.over.wait(0.1):
            if reason := ask():
                self.failed.append(reason)
            else:
                self.answered += 1

    def some_more(self) -> None:
        """Until requests were answered that began after this call."""
        goal = self.answered + 6
        self.live.until(lambda: self.answered, lambda count: count >= goal or bool(self.failed))


@dataclass
class Subject:
    """The service under test: `count` replicas in a queue of its own."""

    live: Live
    count: int = 1
    name: str = "matrix"

    def now(self) -> dict[str, Any]:
        return self.live.service(self.name)

    def patch(self, **changes: Any) -> int:
        answer = self.live.api(f"services/{self.name}/", changes, method="PATCH")
        assert answer.status == 200, answer.body
        return int(answer.body["revision"])

    def act(self, verb: str, **body: Any) -> int:
        answer = self.live.api(f"services/{self.name}/{verb}/", body, method="POST")
        assert answer.status == 202, answer.body
        return int(answer.body["revision"])

    def quota(self, replicas: int) -> None:
        answer = self.live.api(f"queues/{self.name}/", {"cpu": CPU * replicas}, method="PATCH")
        assert answer.status == 200, answer.body

    def cordon(self, schedulable: bool) -> None:
        [node] = self.live.api("nodes/").body["results"]
        answer = self.live.api(f"nodes/{node['name']}/", {"schedulable": schedulable}, method="PATCH")
        assert answer.status == 200, answer.body

    def other(self) -> int:
        """The newest revision that starts its processes in another way than the present one."""
        rows = self.live.api(f"services/{self.name}/revisions/").body["results"]
        env = next(row["spec"]["env"] for row in rows if row["is_serving"])
        return next(int(row["number"]) for row in rows if row["spec"]["env"] != env and not row["failed"])

    def serves(self, number: int) -> dict[str, Any]:
        """Until the revision serves, with all of its replicas; others may be finishing their requests."""

        def settled(service: dict[str, Any]) -> bool:
            rows = [(row["revision"], row["state"]) for row in service["replica_list"] if row["state"] != "DRAINING"]
            states = service["state"], service["serving_revision"], service["revision"]
            return states == ("READY", number, number) and rows == [(number, "READY")] * self.count

        service: dict[str, Any] = self.live.until(self.now, settled)
        return service

    def waits(self, reason: str) -> dict[str, Any]:
        """Until it says why the new revision waits; the old one serves."""
        service: dict[str, Any] = self.live.until(self.now, lambda service: reason in service["message"])
        assert service["state"] == "READY" and service["serving_revision"] != service["revision"]
        assert [row["revision"] for row in service["replica_list"] if row["state"] != "DRAINING"] == [
            service["serving_revision"]
        ] * self.count
        return service

    def fails(self, number: int, reason: str) -> None:
        """Until that revision was given up; the one before it serves."""
        service = self.live.until(self.now, lambda service: service["revision"] < number)
        rows = self.live.api(f"services/{self.name}/revisions/").body["results"]
        [row] = [row for row in rows if row["number"] == number]
        assert reason in row["failed"]
        self.serves(service["serving_revision"])


@pytest.fixture(scope="module")
def subject(live: Live) -> Iterator[Subject]:
    subject = Subject(live)
    folder = live.stack.datasets / subject.name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(MODEL)
    name, options = subject.name, {"path": str(folder)}
    assert live.api("queues/", {"name": name, "cpu": 1, "memory_gib": 64}, method="POST").status == 201
    assert live.api("datasets/", {"name": name, "kind": "local", "options": options}, method="POST").status == 201
    assert live.api(f"datasets/{name}/trust/", {"trusted": True}, method="POST").status == 200
    size = {"cpu": CPU, "memory_gib": 0.1}
    live.create(name, "", dataset=name, queue=name, replicas=subject.count, resources=size)
    live.wait(name)
    yield subject
    live.delete(name)
    live.api(f"datasets/{name}/", method="DELETE")
    live.api(f"queues/{name}/", method="DELETE")


@contextmanager
def load(subject: Subject) -> Iterator[Load]:
    load = Load(subject.live, subject.name)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpcclient.InferenceServerClient(subject.live.grpc_target, channel_args=options) as client:
        threads = [threading.Thread(target=load.call, args=(ask,)) for ask in (load.rest, lambda: load.grpc(client))]
        for thread in threads:
            thread.start()
        try:
            load.some_more()
            yield load
            load.some_more()
        finally:
            load.over.set()
            for thread in threads:
                thread.join()


def edit(subject: Subject) -> None:
    subject.serves(subject.patch(env={"LEVEL": str(time.monotonic_ns())}))


def restart(subject: Subject) -> None:
    subject.serves(subject.act("restart"))


def rollback(subject: Subject) -> None:
    subject.serves(subject.act("rollback", revision=subject.other()))


def scale_to(subject: Subject, count: int) -> None:
    serving, subject.count = subject.now()["revision"], count
    subject.patch(replicas=count)
    subject.serves(serving)


def scale_up(subject: Subject) -> None:
    scale_to(subject, 2)


def scale_down(subject: Subject) -> None:
    scale_to(subject, 1)


def access_and_limits(subject: Subject) -> None:
    """At the gateway within a moment, and no process is another one."""
    before = subject.now()
    pids = [row["pid"] for row in before["replica_list"]]
    body: dict[str, Any] = {"auth": {"policy": "public"}, "limits": {"concurrency": 64, "max_payload_mib": 1}}
    number = subject.patch(**body)
    subject.live.until(lambda: subject.live.infer(subject.name, BODY, key="").status, lambda status: status == 200)
    subject.serves(number)
    number = subject.act("rollback", revision=before["revision"])
    subject.live.until(lambda: subject.live.infer(subject.name, BODY, key="").status, lambda status: status == 401)
    service = subject.serves(number)
    assert [row["pid"] for row in service["replica_list"]] == pids


def node_cordoned(subject: Subject) -> None:
    before = subject.now()["revision"]
    subject.cordon(schedulable=False)
    try:
        subject.act("restart")
        subject.waits("cordoned")
        subject.act("rollback", revision=subject.other())
        subject.waits("cordoned")
        subject.act("rollout", action="replace_now")
        subject.waits("cordoned")
    finally:
        subject.cordon(schedulable=True)
    subject.act("rollout", action="cancel")
    subject.serves(before)


def node_full(subject: Subject) -> None:
    """Each replica takes a share of the node of which there are not so many beside those that run."""
    before = subject.now()["revision"]
    [node] = subject.live.api("nodes/").body["results"]
    subject.quota(10_000)
    subject.patch(resources={"cpu": (node["cpu"] - 2 * CPU) / subject.count})
    subject.waits("Node")
    subject.act("rollout", action="cancel")
    subject.serves(before)


def queue_full(subject: Subject) -> None:
    before = subject.now()["revision"]
    subject.quota(subject.count)
    subject.patch(env={"LEVEL": "full"})
    subject.waits("There is no room for both revisions at once.")
    subject.act("rollout", action="cancel")
    subject.serves(before)
    subject.act("restart")
    subject.waits("There is no room for both revisions at once.")
    subject.quota(2 * subject.count)
    subject.serves(subject.now()["revision"])


def revision_broken(subject: Subject) -> None:
    subject.fails(subject.patch(env={"BROKEN": "1"}), "could not start")


def files_gone(subject: Subject) -> None:
    folder = subject.live.stack.datasets / subject.name
    shutil.move(folder, folder.with_suffix(".away"))
    before = subject.now()["revision"]
    try:
        subject.act("restart")
        subject.waits(folder.name)  # the sentence of the preheat, which is tried again for a while
        subject.act("rollout", action="cancel")
    finally:
        shutil.move(folder.with_suffix(".away"), folder)
    subject.serves(before)


ALONE = [access_and_limits, edit, restart, rollback, node_cordoned, node_full, queue_full, revision_broken, files_gone]
CASES = {change.__name__: change for change in [*ALONE, scale_up]}
CASES |= {f"{change.__name__}_of_two": change for change in ALONE} | {"scale_down": scale_down}
"""In this order: each change with one replica, then with two."""


@pytest.mark.parametrize("change", CASES.values(), ids=CASES.keys())
def test_no_request_fails(subject: Subject, change: Callable[[Subject], None]) -> None:
    subject.quota(4 * subject.count)
    with load(subject) as requests:
        change(subject)
    assert requests.failed == []


def test_replaced_now_it_is_off_for_a_while_and_keeps_its_place(subject: Subject) -> None:
    subject.quota(subject.count)
    with load(subject) as requests:
        number = subject.act("restart", strategy="recreate")
        subject.serves(number)
        requests.failed.clear()  # what failed until here is what the person chose
    assert requests.failed == []


def test_given_up_while_it_takes_the_place_the_old_revision_comes_back(subject: Subject) -> None:
    before = subject.now()["revision"]
    subject.quota(subject.count)
    subject.patch(env={"LEVEL": "new"}, strategy="recreate")
    subject.live.until(subject.now, lambda service: any(row["state"] == "STANDBY" for row in service["replica_list"]))
    subject.act("rollout", action="cancel")
    subject.serves(before)
    with load(subject) as requests:
        pass
    assert requests.failed == []
