"""A whole `manage.py run` as a process of its own, in a home and on ports of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from console.first_run import example
from console.home import CHECKOUT, Home
from console.stack import ready
from services.engines.local import sandboxes
from services.engines.local.supervisor import Supervisor
from tests.environment import HOME
from tests.integration.engine_home import wait_for
from tests.ports import free_ports

SAMPLES = HOME / "samples"
"""As the first stack of this process trained them; they take a while."""
PROGRAMS = ["beat", "bridge", "gateway", "preheat", "redis", "web", "worker"]


@dataclass
class Stack:
    home: Home
    console_port: int
    gateway_port: int
    process: subprocess.Popen[bytes] | None = None
    output: Path = field(init=False)
    extra: dict[str, str] = field(default_factory=dict)
    """More environment variables, to be set before the start."""
    datasets: Path = field(init=False)
    """An allowed root for `local` datasets."""
    printed: int = 0
    """Bytes of the output that earlier runs wrote."""

    def __post_init__(self) -> None:
        self.output = self.home.root / "output"
        self.datasets = self.home.root / "datasets"
        self.datasets.mkdir(exist_ok=True)
        self.supervisor = Supervisor(self.home.supervisor_socket)

    def environment(self) -> dict[str, str]:
        env = {name: text for name, text in os.environ.items() if name not in {"REDIS_URL", "DATASET_ROOTS"}}
        ports = {
            "CONSOLE_PORT": self.console_port,
            "GATEWAY_PORT": self.gateway_port,
            "DATASET_ROOTS": self.datasets,
        }
        fixed = {name: str(port) for name, port in ports.items()}
        if sandboxes.problem():  # several teams share a stack, which needs boxes or somebody who says otherwise
            fixed["REPLICA_SANDBOX"] = sandboxes.OFF
        return {**env, **fixed, **self.extra, "CONSOLE_HOME": str(self.home.root)}

    def start(self, *options: str) -> None:
        """Returns at once. Like a shell's foreground job: SIGINT is not ignored."""
        command = [sys.executable, "manage.py", "run", *(options or ["--without-example"])]
        with self.output.open("ab") as output:
            self.printed = output.tell()
            self.process = subprocess.Popen(
                command, cwd=CHECKOUT, env=self.environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def start_with_example(self) -> None:
        """Returns when the example has answered."""
        self.start("--no-color")
        text = wait_for(self.read_output, lambda text: "Ctrl-C ends it" in text, 180)
        assert f"{example.NAME} says 8" in text, text + (self.home.logs / "worker.log").read_text()[-5000:]

    def wait_until_up(self) -> None:
        wait_for(self.read_output, lambda text: "Everything is up" in text, 180)

    def read_output(self) -> str:
        """What the last run printed."""
        text = self.output.read_bytes()[self.printed :].decode()
        assert self.process is None or self.process.poll() in (None, 0), text
        return text

    def end(self, number: int = signal.SIGINT, seconds: float = 120) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def manage(self, code: str, **env: str) -> None:
        """Python code in the console, as the run command's children have it: in its home."""
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
        env = {**self.environment(), **env}
        done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def pid(self, name: str) -> int:
        info = self.supervisor.info(name)
        return info.pid if info else 0

    def supervisord(self) -> int:
        """Its pid. A new one empties the file before it writes its own."""
        return int(wait_for((self.home.run / "supervisord.pid").read_text, str.strip))

    def kill(self, name: str) -> int:
        """kill -9 of one program; returns its pid."""
        pid = wait_for(lambda: self.pid(name), bool)
        os.kill(pid, signal.SIGKILL)
        return pid

    def left(self) -> list[str]:
        """Every process on this machine that belongs to this home."""
        leftovers = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("CONSOLE_HOME") == str(self.home.root)
                words = process.cmdline()
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if words and (mine or any(str(self.home.root) in word for word in words)):
                leftovers.append(f"{process.pid}: {' '.join(words)}")
        return leftovers

    def doors_answer(self) -> bool:
        ports = (self.console_port, self.gateway_port)
        sockets = (self.home.bridge_http, self.home.bridge_grpc)
        return (
            ready.redis_answers(self.home.redis_socket)
            and all(ready.listens("127.0.0.1", port) for port in ports)
            and all(ready.accepts(path) for path in sockets)
        )


@contextmanager
def stack() -> Iterator[Stack]:
    """To be started. Whatever was done to it, Ctrl-C ends it, and leaves nothing."""
    root = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    stack_process = Stack(Home(root, root / "runtimes"), *free_ports(2))
    if SAMPLES.exists():
        shutil.copytree(SAMPLES, stack_process.home.samples)
    try:
        yield stack_process
    finally:
        if stack_process.process and stack_process.process.poll() is None:
            assert stack_process.end() == 0
        assert stack_process.left() == []
        if stack_process.home.samples.exists() and not SAMPLES.exists():
            shutil.copytree(stack_process.home.samples, SAMPLES)
        shutil.rmtree(root)
