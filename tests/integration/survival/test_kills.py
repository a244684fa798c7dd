"""kill -9 of each process in turn: the service answers again, nothing is lost, nothing is made twice."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest

from console.first_run import example
from datasets.preheat.copying.copy import PIECE
from datasets.preheat.journal import read_facts
from tests.integration.engine_home import gone, server_of, wait_for
from tests.integration.survival.survivor import Survivor

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("rough")]
MIB = 1 << 20
ECHO = """class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(r, "IN").as_numpy())])
            for r in requests
        ]
"""


def test_a_killed_replica_comes_back_and_the_other_one_answers_meanwhile(up: Survivor) -> None:
    before = up.belongings()
    first, second = up.wait_for_replicas()
    with up.traffic() as traffic:
        wait_for(lambda: len(traffic.answered), lambda count: count > 20)
        killed = time.monotonic()
        server_of(first["pid"]).kill()
        # Its end is noted before its next process is.
        wait_for(lambda: up.service(example.NAME)["replica_list"][0]["pid"], lambda pid: pid not in (0, first["pid"]))
        rows = up.wait_for_replicas()
        back = time.monotonic()
        wait_for(lambda: traffic.answered[-1], lambda sent: sent > back)
    assert len(traffic.failed) <= 3, "only the one request that each of the three callers had under way may fail"
    assert [sent - killed for sent in traffic.failed if not -5 < sent - killed < 0.5] == []
    assert len([sent for sent in traffic.answered if killed < sent < back]) > 20
    assert rows[0]["restarts"] == first["restarts"] + 1
    assert (rows[1]["pid"], rows[1]["restarts"]) == (second["pid"], second["restarts"])
    events = up.api(f"services/{example.NAME}/events/").body["results"]
    event = next(event for event in events if event["kind"] == "replica")
    assert "ended unexpectedly" in event["message"] and event["detail"]
    assert up.api(f"services/{example.NAME}/logs/?replica={first['name']}").body["text"].count("Started GRPC") >= 2
    up.recovered(before)


def test_a_worker_that_is_killed_during_a_preheat_is_resumed_by_the_next(up: Survivor) -> None:
    before, size = up.belongings(), 96 * MIB
    make_large_model(up, size)
    body = {"name": "large", "kind": "local", "options": {"path": str(up.stack.datasets / "large")}, "team": "default"}
    assert up.api("datasets/", body, method="POST").status == 201
    assert up.api("datasets/large/trust/", {"trusted": True}, method="POST").status == 200
    worker = up.stack.pid("preheat")
    up.create("large", "echo", dataset="large", team="default")
    wait_for(lambda: staged(up), lambda count: count >= 4 * PIECE)
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: gone(worker), bool)
    bytes_staged, left = staged(up), up.service("large")["preheat"]
    assert (left["state"], bytes_staged < size) == ("COPYING", True)

    up.wait("large")
    rounds = up.api("datasets/large/rounds/").body["results"]
    assert [(each["id"], each["state"]) for each in rounds] == [(left["round"], "DONE")]
    again = rounds[0]["bytes_copied"] - left["bytes_copied"]
    assert again <= size - bytes_staged + MIB, "what the journal knows is not copied again"
    echo = {"inputs": [{"name": "IN", "shape": [2], "datatype": "FP32", "data": [1.5, 2.5]}]}
    assert up.infer("large", echo).body["outputs"][0]["data"] == [1.5, 2.5]

    up.delete("large")
    assert up.api("datasets/large/", method="DELETE").status in {202, 204}
    now = up.belongings()
    new_trees = set(now.settled["trees"]) - set(before.settled["trees"])
    assert len(new_trees) == 1
    before.settled["trees"] = now.settled["trees"]
    up.recovered(before)


def staged(up: Survivor) -> int:
    """Bytes of the one round that is under way."""
    facts = [read_facts(journal) for journal in (up.stack.home.store / "staging").glob("*/journal")]
    return sum(len(pieces) * PIECE for one in facts for pieces in one.pieces.values())


def make_large_model(up: Survivor, size: int) -> None:
    folder = up.stack.datasets / "large" / "echo" / "1"
    folder.mkdir(parents=True)
    tensors = ("input", "IN"), ("output", "OUT")
    lines = [f'{kind} [{{ name: "{name}" data_type: TYPE_FP32 dims: [-1] }}]' for kind, name in tensors]
    (folder.parent / "config.pbtxt").write_text("\n".join(['backend: "python"', "max_batch_size: 0", *lines, ""]))
    (folder / "model.py").write_text("import triton_python_backend_utils as pb_utils\n\n\n" + ECHO)
    block = os.urandom(MIB)
    with (folder / "weights.bin").open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") + block[8:])


@pytest.mark.parametrize("name", ["redis", "gateway", "bridge", "web", "worker", "preheat", "beat"])
def test_a_killed_program_comes_back_and_nothing_is_lost(up: Survivor, name: str) -> None:
    before = up.belongings()
    pids = [row["pid"] for row in up.wait_for_replicas()]
    with up.messages():
        up.came_back(name, up.stack.kill(name))
    up.recovered(before)
    wait_for(up.stack.read_output, lambda text: f"{name} had ended; it runs again" in text)
    assert [row["pid"] for row in up.wait_for_replicas()] == pids, "no replica was touched"


def test_a_killed_supervisord_takes_its_programs_along_and_is_replaced_as_often_as_it_dies(up: Survivor) -> None:
    """Also when its configuration and what its programs start from was removed."""
    before = up.belongings()
    pids = [row["pid"] for row in up.wait_for_replicas()]
    pids += [up.stack.pid(name) for name in ("redis", "web", "gateway", "bridge")]
    up.stack.home.supervisor_conf.unlink()
    shutil.rmtree(up.stack.home.run / "stack")
    for _ in range(3):
        killed = up.stack.supervisord()
        os.kill(killed, signal.SIGKILL)
        for pid in pids:
            wait_for(lambda pid=pid: gone(pid), bool)  # type: ignore[misc]
        wait_for(up.stack.supervisord, lambda pid, killed=killed: pid != killed)  # type: ignore[misc]
    up.until(lambda: up.ask(up.good), lambda status: status == 200)
    up.is_well()
    up.recovered(before)
