"""The whole stack on a small file system that fills up under load and is emptied again, with a real Triton service."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.home import Home
from console.stack import example, reserve
from tests.integration.engine_home import wait_for
from tests.integration.live import send
from tests.integration.small_disk import MIB, SmallDisk, give_back, run_in_a_namespace, small_disk
from tests.integration.stack_run import PROGRAMS, Stack
from tests.integration.survivor import Survivor, attempt
from tests.triton import runtime_root

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("full-disk")]
SIZE = 384 * MIB
FULL = f"The disk of local is full: 0 MiB of {SIZE // MIB} MiB are free."
FILES = 20
REPLICA = f"svc-{example.NAME}-r1-0"


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    runtime_root()
    with small_disk(SIZE) as disk:
        yield disk


@pytest.fixture
def up(disk: SmallDisk) -> Iterator[Survivor]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [each.getsockname()[1] for each in (one, two)]
    elsewhere = Path(tempfile.mkdtemp(prefix="ic-", dir="/tmp"))
    stack = Stack(Home(disk.folder, disk.folder / "runtimes"), *ports)
    stack.output, stack.datasets = elsewhere / "output", elsewhere / "datasets"
    stack.datasets.mkdir()
    stack.extra = {"PREHEAT_MIB_PER_SECOND": "4"}
    try:
        stack.start("--no-color")
        wait_for(stack.said, lambda text: "Ctrl-C ends it" in text, 120)
        yield Survivor(stack, replicas=1)
        assert stack.end(signal.SIGTERM) == 0
        assert stack.left() == []
    finally:
        if stack.process and stack.process.poll() is None:
            stack.end(signal.SIGTERM)
        shutil.rmtree(elsewhere)


def a_folder_of_files(up: Survivor) -> None:
    (up.stack.datasets / "m").mkdir()
    for number in range(FILES):
        (up.stack.datasets / "m" / f"{number}.bin").write_bytes(os.urandom(MIB))
    body = {"name": "files", "kind": "local", "options": {"path": str(up.stack.datasets)}, "team": "default"}
    assert up.api("datasets/", body, method="POST").status == 201


def preheat(up: Survivor, dataset: str, path: str) -> str:
    answer = up.api(f"datasets/{dataset}/preheat/", {"path": path}, method="POST")
    assert answer.status in {201, 202}, answer.body
    return f"datasets/{dataset}/rounds/{answer.body['id']}/"


def page(up: Survivor, path: str) -> str:
    return up.browser.open(f"{up.console}{path}", timeout=20).read().decode()


def health(up: Survivor) -> tuple[int, str]:
    answer = attempt(lambda: send(f"{up.console}/healthz", timeout=20), None)
    return (answer.status, answer.body.decode()) if answer else (0, "")


def pids(up: Survivor) -> dict[str, int]:
    return {info.name: info.pid for info in up.stack.supervisor.all() if info.name in {*PROGRAMS, REPLICA}}


def counted(up: Survivor) -> int:
    points = up.api(f"usage/?service={example.NAME}&group_by=service").body["results"]
    return sum(int(point["used"]["succeeded"]) for point in points)


def status_of(up: Survivor, path: str, body: Any) -> tuple[int, str]:
    answer = up.api(path, body, method="POST")
    return answer.status, json.dumps(answer.body)


def test_a_disk_that_fills_and_empties_under_load_fails_no_request_and_loses_nothing(
    up: Survivor, disk: SmallDisk
) -> None:
    a_folder_of_files(up)
    under_way = preheat(up, "files", "m")
    up.until(lambda: up.api(under_way).body["bytes_done"], lambda count: count >= 4 * MIB)
    before, answers_before = pids(up), up.until(lambda: counted(up), lambda count: count >= 1)
    assert reserve.keep(up.stack.home) > MIB
    with up.traffic() as traffic:
        wait_for(lambda: len(traffic.answered), lambda count: count > 20)
        disk.fill()
        full_since = len(traffic.answered)

        # What the disk is like is said everywhere.
        wait_for(lambda: health(up), lambda said: said[0] == 503 and FULL in said[1])
        for path in ("/", f"/services/{example.NAME}/", "/nodes/local/", "/datasets/files/"):
            assert FULL in page(up, path) and f"Free space in {disk.folder}." in page(up, path)
        assert FULL in up.api("nodes/local/").body["problem"]
        assert ("disk", FULL) in [(each["part"], each["message"]) for each in up.api("dashboard/").body["problems"]]

        # A preheat under way, a new one, and a new service are taken, wait, and say why.
        waiting = preheat(up, "samples", "repeat")
        up.create("newcomer", "mnist-onnx")
        for where in (under_way, waiting):
            up.until(lambda where=where: up.api(where).body, is_waiting)  # type: ignore[misc]
        up.until(lambda: up.service("newcomer"), lambda seen: seen["state"] == "PREHEATING" and waits(seen["message"]))
        wait_for(lambda: len(traffic.answered), lambda count: count > full_since + 40)
        assert traffic.failed == []
        assert pids(up) == before  # no process died

        # Without the room that was set aside the database takes nothing: the sentence, and no 500.
        for path in [path for path in reserve.files(up.stack.home) if path.suffix != ".log"]:
            give_back(path)
        disk.fill()
        answer = wait_for(
            lambda: status_of(up, "datasets/", {"name": "more", "kind": "local", "options": {}, "team": "default"}),
            lambda answer: answer[0] != 201,
        )
        assert answer[0] in {400, 507}
        assert sign_in(up) == (507, True)
        assert FULL in page(up, f"/services/{example.NAME}/")
        so_far = len(traffic.answered)
        wait_for(lambda: len(traffic.answered), lambda count: count > so_far + 40)

        disk.empty()
        wait_for(lambda: health(up), lambda said: said == (200, "ok\n"), 60)
        for where in (under_way, waiting):
            up.until(lambda where=where: up.api(where).body["state"], lambda state: state == "DONE", 60)  # type: ignore[misc]
        up.wait("newcomer", seconds=60)
    assert traffic.failed == []
    assert up.ask() == 200
    after = pids(up)
    kept = before.keys() - {"worker", "preheat"}  # Redis took no orders from these, so they may have been replaced
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    total = answers_before + len(traffic.answered) + 1
    assert up.until(lambda: counted(up), lambda count: count >= total) == total


def is_waiting(seen: dict[str, Any]) -> bool:
    return seen["state"] in {"PENDING", "COPYING"} and waits(seen["sentence"])


def waits(text: str) -> bool:
    return "goes on by itself once there is room" in text


def sign_in(up: Survivor) -> tuple[int, bool]:
    """A person whose session cannot be written: the status, and whether the page says why."""
    connection = http.client.HTTPConnection("127.0.0.1", up.stack.console_port, timeout=20)
    connection.request("GET", "/login/")
    answer = connection.getresponse()
    cookie = answer.headers["Set-Cookie"].split(";")[0]
    token = answer.read().decode().split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = f"username=admin&password={up.credentials['password']}&csrfmiddlewaretoken={token}"
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login/", form, headers)
    answer = connection.getresponse()
    return answer.status, FULL in answer.read().decode()


def test_the_same_in_a_namespace_where_nothing_may_be_mounted_outside() -> None:
    run_in_a_namespace(__file__)
