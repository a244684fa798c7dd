"""Starts the real server of a Launch as an engine does: files, links, process. Nothing of what the product promises."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.listeners import Listeners
from services.specs import Launch
from tests.ports import free_ports

START_SECONDS = 300
"""Some 25 s for vLLM on cores of its own; many times that beside seven other servers."""


def free_listeners() -> Listeners:
    """Ports, which any client of a test can reach."""
    http, grpc, metrics = free_ports(3)
    return Listeners.on_ports(http, grpc, metrics)


def write_files(files: Mapping[str, bytes], links: Mapping[str, Path], run_dir: Path) -> None:
    for name, content in files.items():
        path = run_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name, target in links.items():
        path = run_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)


@dataclass
class Replica:
    process: subprocess.Popen[bytes]
    listeners: Listeners
    log_path: Path
    service: str

    @classmethod
    def spawn(cls, launch: Launch, run_dir: Path, listeners: Listeners, service: str = "") -> Self:
        """Started in a session of its own, not ready yet. `kill` it at the end."""
        write_files(launch.files, launch.links, run_dir)
        log_path = run_dir / "log.txt"
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                launch.argv,
                env=dict(launch.env),
                cwd=run_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return cls(process, listeners, log_path, service)

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def http(self) -> str:
        return str(self.listeners.http)

    @property
    def grpc(self) -> str:
        return str(self.listeners.grpc)

    def is_ready(self) -> bool:
        raise NotImplementedError

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert self.process.poll() is None, f"It ended with {self.process.returncode}:\n{self.log[-4000:]}"
            assert time.monotonic() < deadline, f"It was not ready in {START_SECONDS} s:\n{self.log[-4000:]}"
            time.sleep(0.05)

    def wait_until_ended(self, seconds: float = START_SECONDS) -> int:
        return self.process.wait(seconds)

    def end(self) -> int:
        """In order, which takes Triton three seconds."""
        self.process.terminate()
        return self.wait_until_ended(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
