"""A real Triton that ends each time it is started, after it has served, and comes back once the cause is gone."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-changes")]

NAME = "needy"
CONFIG = """backend: "python"
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
NEEDS = """import time
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        with open({needed!r}) as file:
            if file.read() == "hang":
                print("it hangs", flush=True)
                time.sleep(3600)
    def execute(self, requests):
        read = pb_utils.get_input_tensor_by_name
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", read(r, "IN").as_numpy())]) for r in requests]
"""
BODY = {"inputs": [{"name": "IN", "datatype": "FP32", "shape": [1], "data": [1]}]}


@pytest.fixture(scope="module")
def needed(live: Live) -> Iterator[Path]:
    """The file that the model of the READY service reads at each start."""
    root = live.stack.datasets / NAME
    needed = live.stack.home.root / "needed"
    needed.touch()
    (root / "1").mkdir(parents=True)
    (root / "config.pbtxt").write_text(CONFIG)
    (root / "1" / "model.py").write_text(NEEDS.format(needed=str(needed)))
    body = {"name": NAME, "kind": "local", "options": {"path": str(root)}}
    assert live.api("datasets/", body, method="POST").status == 201
    assert live.api(f"datasets/{NAME}/trust/", {"trusted": True}, method="POST").status == 200
    live.create(NAME, "", dataset=NAME, limits={"stall_seconds": 5})
    live.wait(NAME)
    yield needed
    live.delete(NAME)
    live.api(f"datasets/{NAME}/", method="DELETE")


def replica(live: Live) -> dict[str, Any]:
    [row] = live.service(NAME)["replica_list"]
    return dict(row)


def in_backoff(live: Live, reason: str) -> dict[str, Any]:
    """Until it waits for its next start because of `reason`."""
    seen = live.until(lambda: replica(live), lambda row: row["state"] == "BACKOFF" and reason in row["message"], 90)
    return dict(seen)


def http_port(pid: int) -> int:
    [flag] = [part for part in psutil.Process(pid).cmdline() if part.startswith("--http-port=")]
    return int(flag.partition("=")[2])


def test_a_start_that_hangs_after_it_was_up_is_started_again(live: Live, needed: Path) -> None:
    """Its process is there and waits for ever while the model is loaded."""
    needed.write_text("hang")
    os.kill(replica(live)["pid"], signal.SIGKILL)
    log = live.stack.home.logs / "replicas" / f"{replica(live)['name']}.log"
    live.until(log.read_text, lambda text: "it hangs" in text)
    needed.write_text("")
    live.until(lambda: live.infer(NAME, BODY).status, lambda status: status == 200, 120)
    live.wait(NAME)  # it answered before the gateway had read that it was taken out
    messages = [event["message"] for event in live.api(f"services/{NAME}/events/").body["results"]]
    assert any("hung" in message and "did not answer" in message for message in messages)


def test_it_is_tried_again_until_each_cause_is_gone(live: Live, needed: Path) -> None:
    first = replica(live)
    port = http_port(first["pid"])
    assert live.infer(NAME, BODY).status == 200
    needed.unlink()
    os.kill(first["pid"], signal.SIGKILL)
    waiting = in_backoff(live, "needed")
    assert waiting["retry_at"] and "It is started again at" in waiting["message"]
    service = live.service(NAME)
    assert service["state"] == "DEGRADED" and waiting["message"] in service["message"]
    refused = live.infer(NAME, BODY)
    assert refused.status == 503 and "retry-after" in refused.headers

    live.stack.kill("worker")  # the plan is in the row
    with socket.create_server(("127.0.0.1", port)):
        needed.touch()  # one cause goes, another comes
        later = in_backoff(live, "port")
        assert later["attempts"] > waiting["attempts"]
    live.wait(NAME)
    live.until(lambda: live.infer(NAME, BODY).status, lambda status: status == 200)
    assert replica(live)["retry_at"] is None
    messages = [event["message"] for event in live.api(f"services/{NAME}/events/").body["results"]]
    assert sum("ends each time" in message for message in messages) == 1


def test_it_is_tried_again_after_a_stop_and_a_start_too(live: Live, needed: Path) -> None:
    needed.unlink()
    assert live.api(f"services/{NAME}/stop/", {}, method="POST").status in {200, 202}
    live.until(lambda: live.service(NAME), lambda service: service["state"] == "STOPPED", 60)
    assert live.api(f"services/{NAME}/start/", {}, method="POST").status in {200, 202}
    live.until(lambda: live.service(NAME)["replica_list"], bool)
    waiting = in_backoff(live, "needed")
    service = live.service(NAME)
    assert service["state"] == "STARTING" and waiting["message"] in service["message"]
    needed.touch()
    live.wait(NAME)
    live.until(lambda: live.infer(NAME, BODY).status, lambda status: status == 200)
