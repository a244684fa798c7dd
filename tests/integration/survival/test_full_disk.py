"""The whole stack on a small file system that fills up under load and is emptied again: two teams, each with a real
Triton service, a key and a preheat of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from console.first_run import example
from console.home import Home
from console.stack import reserve
from tests.integration.engine_home import wait_for
from tests.integration.small_disk import MIB, SmallDisk, give_back, run_in_a_namespace, small_disk
from tests.integration.stack_run import PROGRAMS, Stack
from tests.integration.survival.survivor import Survivor, Traffic
from tests.ports import free_ports
from tests.servers.triton import runtime_root

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("full-disk")]
SIZE = 384 * MIB
FULL = f"The disk of local is full: 0 MiB of {SIZE // MIB} MiB are free."
FILES = 20
NEWCOMERS = ("newcomer", "blue-newcomer")
NEIGHBOR = "neighbor"
REPLICAS = {f"svc-{name}-r1-0" for name in (example.NAME, NEIGHBOR)}
TEAM = """
from console.accounts import teams
from console.accounts.principal import SYSTEM
teams.create(name="blue", actor=SYSTEM)
"""


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    runtime_root()
    with small_disk(SIZE) as disk:
        yield disk


@pytest.fixture
def up(disk: SmallDisk) -> Iterator[Survivor]:
    elsewhere = Path(tempfile.mkdtemp(prefix="ic-", dir="/tmp"))
    stack = Stack(Home(disk.folder, disk.folder / "runtimes"), *free_ports(2))
    stack.output, stack.datasets = elsewhere / "output", elsewhere / "datasets"
    stack.datasets.mkdir()
    stack.extra = {"PREHEAT_MIB_PER_SECOND": "2"}
    try:
        waits_for_room(stack, disk)
        yield Survivor(stack, replicas=1)
        assert stack.end(signal.SIGTERM) == 0
        assert stack.left() == []
    finally:
        if stack.process and stack.process.poll() is None:
            stack.end(signal.SIGTERM)
        shutil.rmtree(elsewhere)


def waits_for_room(stack: Stack, disk: SmallDisk) -> None:
    """A run on a full disk does, and then starts."""
    stack.home.secret_key.write_text("of an earlier run")
    disk.fill()
    stack.start("--no-color")
    printed = wait_for(stack.read_output, lambda text: "Trying again in 2 s" in text)
    assert FULL in printed and f"Free space in {disk.folder}." in printed
    disk.empty()
    wait_for(stack.read_output, lambda text: "Ctrl-C ends it" in text, 180)


@dataclass(frozen=True)
class Tenant:
    """A team with a service that serves. Its key calls and manages what is its own."""

    up: Survivor
    team: str
    key: str
    service: str

    def preheat(self, dataset: str, path: str) -> str:
        """The address of the new round."""
        answer = self.up.api(f"datasets/{dataset}/preheat/", {"path": path}, method="POST", key=self.key)
        assert answer.status in {201, 202}, answer.body
        return f"datasets/{dataset}/rounds/{answer.body['id']}/"

    def preheat_files(self) -> str:
        """Preheat a folder that takes a while to copy."""
        folder = self.up.stack.datasets / self.team / "m"
        folder.mkdir(parents=True)
        for number in range(FILES):
            (folder / f"{number}.bin").write_bytes(os.urandom(MIB))
        self.dataset(f"{self.team}-files", folder.parent)
        return self.preheat(f"{self.team}-files", "m")

    def dataset(self, name: str, path: Path) -> None:
        body = {"name": name, "kind": "local", "options": {"path": str(path)}, "team": self.team}
        answer = self.up.api("datasets/", body, method="POST", key=self.key)
        assert answer.status == 201, answer.body

    def traffic(self) -> AbstractContextManager[Traffic]:
        return self.up.traffic(key=self.key, service=self.service)

    def ask(self) -> int:
        return self.up.ask(self.key, self.service)

    def counted(self) -> int:
        """Requests that its usage knows of."""
        answer = self.up.api(f"usage/?service={self.service}&group_by=service", key=self.key)
        return sum(int(point["used"]["succeeded"]) for point in answer.body["results"])


def neighbor(up: Survivor) -> Tenant:
    up.stack.manage(TEAM)
    body = {"name": "blue", "team": "blue", "scopes": ["infer", "read", "manage"]}
    answer = up.api("keys/", body, method="POST")
    assert answer.status in {201, 202}, answer.body
    blue = Tenant(up, "blue", answer.body["key"], NEIGHBOR)
    own = up.stack.datasets / "blue" / "onnx"
    shutil.copytree(up.stack.home.samples / "mnist-onnx", own)
    (own / "notes.txt").write_text(os.urandom(MIB // 2).hex())  # so that it is not in the store already
    blue.dataset("blue-models", up.stack.home.samples)
    up.create(NEIGHBOR, "mnist-onnx", team="blue", dataset="blue-models")
    up.wait(NEIGHBOR)
    up.until(blue.ask, lambda status: status == 200)
    assert up.ask(blue.key) == 403
    return blue


def page(up: Survivor, path: str) -> str:
    return up.browser.open(f"{up.console}{path}", timeout=20).read().decode()


def pids(up: Survivor) -> dict[str, int]:
    return {info.name: info.pid for info in up.stack.supervisor.all() if info.name in {*PROGRAMS, *REPLICAS}}


@contextmanager
def growing_log(up: Survivor) -> Iterator[None]:
    """The database's log has no room of its own while the context lasts: it is empty, and as somebody reads what is
    older it does not begin anew.
    """
    with closing(sqlite3.connect(up.stack.home.database, timeout=20, isolation_level=None)) as reader:
        wait_for(lambda: reader.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0], lambda busy: busy == 0)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield


def until_refused(up: Survivor, disk: SmallDisk, write: Callable[[], tuple[int, str]]) -> list[tuple[int, str]]:
    """The answers until what little room is left is used up; the last is the first 507.

    The reserve is taken away each time: supervisord sets it aside again as soon as it finds room.
    """
    answers = []

    def write_once() -> tuple[int, str]:
        for path in reserve.files(up.stack.home):
            if path.suffix != ".log":
                give_back(path)
        disk.fill()
        answers.append(write())
        return answers[-1]

    wait_for(write_once, lambda answer: answer[0] == 507)
    return answers


def add_dataset(tenant: Tenant) -> tuple[int, str]:
    body = {"name": f"more-{uuid4().hex}", "kind": "local", "options": {"path": str(tenant.up.stack.home.samples)}}
    answer = tenant.up.api("datasets/", body, method="POST", key=tenant.key)
    return answer.status, json.dumps(answer.body)


def test_a_disk_that_fills_and_empties_under_load_fails_no_request_and_loses_nothing(
    up: Survivor, disk: SmallDisk
) -> None:
    tenants = [Tenant(up, "default", up.key, example.NAME), neighbor(up)]
    rounds = [tenant.preheat_files() for tenant in tenants]
    for each in rounds:
        up.until(lambda each=each: up.api(each).body["bytes_done"], lambda count: count >= 2 * MIB)  # type: ignore[misc]
    before = pids(up)
    assert before.keys() >= REPLICAS
    answers_before = [up.until(tenant.counted, lambda count: count >= 1) for tenant in tenants]
    assert reserve.keep(up.stack.home) > MIB
    with ExitStack() as stack:
        traffic = [stack.enter_context(tenant.traffic()) for tenant in tenants]
        go_on(traffic, 20)
        disk.fill()

        # What the disk is like is said everywhere.
        wait_for(lambda: up.health(), lambda health_now: health_now[0] == 503 and FULL in health_now[1])
        for path in ("/", f"/services/{example.NAME}/", "/nodes/local/", "/datasets/default-files/"):
            assert FULL in page(up, path) and f"Free space in {disk.folder}." in page(up, path)
        assert FULL in up.api("nodes/local/").body["problem"]
        assert ("disk", FULL) in [(each["part"], each["message"]) for each in up.api("dashboard/").body["problems"]]

        # A preheat under way, a new one, and a new service are taken, wait, and say why: for either team.
        rounds += [tenants[0].preheat("samples", "echo"), tenants[1].preheat("blue-models", "repeat")]
        up.create("newcomer", "repeat")
        up.create("blue-newcomer", "onnx", team="blue", dataset="blue-files")
        for each in rounds:
            up.until(lambda each=each: up.api(each).body, is_waiting)  # type: ignore[misc]
        for name in NEWCOMERS:
            up.until(lambda name=name: up.service(name), is_held_up)  # type: ignore[misc]
        go_on(traffic, 40)
        assert [each.failed for each in traffic] == [[], []]
        assert pids(up) == before  # no process died

        # Without the room that was set aside the database soon takes nothing: the sentence, and no 500.
        with growing_log(up):
            answers = until_refused(up, disk, lambda: add_dataset(tenants[1]))
            assert {status for status, _ in answers[:-1]} <= {201} and FULL in answers[-1][1]
            answers = until_refused(up, disk, lambda: sign_in(up))
            assert {status for status, _ in answers[:-1]} <= {302} and FULL in answers[-1][1]
            wait_for(lambda: page(up, f"/services/{example.NAME}/"), lambda text: FULL in text)
            go_on(traffic, 40)

        disk.empty()
        wait_for(lambda: up.health(), lambda health_now: health_now == (200, "ok\n"))
        for each in rounds:
            up.until(lambda each=each: up.api(each).body["state"], lambda state: state == "DONE", 60)  # type: ignore[misc]
        for name in NEWCOMERS:
            up.wait(name)
    assert [each.failed for each in traffic] == [[], []]
    assert [tenant.ask() for tenant in tenants] == [200, 200]
    after = pids(up)
    kept = before.keys() - {"worker", "preheat"}  # Redis took no orders from these, so they may have been replaced
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    for tenant, counted, each in zip(tenants, answers_before, traffic, strict=True):
        total = counted + len(each.answered) + 1
        assert up.until(tenant.counted, lambda count, total=total: count >= total) == total  # type: ignore[misc]


def go_on(traffic: list[Traffic], count: int) -> None:
    """Until each team has had so many more answers."""
    since = [len(each.answered) for each in traffic]
    wait_for(
        lambda: [len(each.answered) for each in traffic],
        lambda now: all(count_now > then + count for count_now, then in zip(now, since, strict=True)),
        60,
    )


def is_held_up(seen: dict[str, Any]) -> bool:
    return seen["state"] == "PREHEATING" and waits(seen["message"])


def is_waiting(seen: dict[str, Any]) -> bool:
    return seen["state"] in {"PENDING", "COPYING"} and waits(seen["sentence"])


def waits(text: str) -> bool:
    return "goes on by itself once there is room" in text


def sign_in(up: Survivor) -> tuple[int, str]:
    """The status and the page."""
    connection = http.client.HTTPConnection("127.0.0.1", up.stack.console_port, timeout=20)
    connection.request("GET", "/login/")
    answer = connection.getresponse()
    cookie = answer.headers["Set-Cookie"].split(";")[0]
    token = answer.read().decode().split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = f"username=admin&password={up.credentials['password']}&csrfmiddlewaretoken={token}"
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login/", form, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_the_same_in_a_namespace_where_nothing_may_be_mounted_outside() -> None:
    run_in_a_namespace(__file__)
