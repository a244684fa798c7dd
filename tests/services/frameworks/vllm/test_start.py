"""The guard beside a server: what the server leaves behind ends with it. With the real vLLM: tests/integration."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.frameworks.vllm.launch import START
from tests.integration.engine_home import gone, wait_for

SERVER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".tmp", "w") as file:
    file.write(f"{os.getpgrp()} {child.pid}")
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
time.sleep(600 if len(sys.argv) < 3 else float(sys.argv[2]))
"""


def start(pids: Path, *more: str, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-IS", str(START), sys.executable, "-c", SERVER, str(pids), *more]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pids"
    yield path
    for pid in (int(text) for text in path.read_text().split()):
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)


def read(pids: Path) -> list[int]:
    wait_for(pids.exists, bool)
    return [int(text) for text in pids.read_text().split()]


def test_a_killed_server_takes_its_processes_along(pids: Path) -> None:
    server = start(pids)
    group, child = read(pids)
    assert group == server.pid, "the server is the process that was started, and leads its group"
    server.kill()
    server.wait(5)
    assert wait_for(lambda: gone(child), bool)


def test_one_that_ends_by_itself_does_so_too_and_keeps_its_status(pids: Path) -> None:
    server = start(pids, "0")
    _, child = read(pids)
    assert server.wait(5) == 0
    assert wait_for(lambda: gone(child), bool)


def test_the_lock_is_held_until_all_are_gone(pids: Path, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = start(pids, pass_fds=[lock.fileno()])
        _, child = read(pids)
    with (tmp_path / "lock").open("w") as again:
        with pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        server.kill()
        fcntl.flock(again, fcntl.LOCK_EX)
        assert gone(child)
        server.wait(5)


def test_the_log_ends_with_the_server(pids: Path) -> None:
    """The guard keeps no end of the pipe open: whoever reads the log waits for its end."""
    server = start(pids, stdout=subprocess.PIPE)
    read(pids)
    server.kill()
    assert server.stdout is not None
    assert server.stdout.read() == b""
    server.wait(5)
