"""What stands between supervisord and a server, with real processes and sockets; in its box: tests/integration."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.engines.local.launch import KEEPER
from tests.integration.engine_home import short_home
from tests.servers.gateway.rig import until

Start = Callable[..., subprocess.Popen[bytes]]
LISTEN = """
import os, socket, sys
def listen(name):
    server = socket.socket(socket.AF_UNIX)
    server.bind(name)
    server.listen()
    return server
server = listen("made.sock")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """The working directory of the server; beside it is the one for second names."""
    with short_home("ke-") as home:
        (home.root / "run").mkdir(parents=True)
        (home.root / "shown").mkdir()
        yield home.root / "run"


@pytest.fixture
def shown(folder: Path) -> Path:
    return folder.parent / "shown" / "http.sock"


@pytest.fixture
def start(folder: Path, shown: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []

    def begin(code: str, **more: object) -> subprocess.Popen[bytes]:
        replica = {
            "argv": [sys.executable, "-c", code],
            "env": {"GREETING": "hello"},
            "folder": str(folder),
            "sockets": {"made.sock": str(shown)},
            "box": [],
            "seccomp": "",
            **more,
        }
        launch = folder.parent / "launch.json"
        launch.write_text(json.dumps({"replica": replica}))
        command = [sys.executable, "-IS", str(KEEPER), str(launch)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def greeting(path: Path) -> bytes:
    """What the server behind a socket says; b"" when nobody listens."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return b""
        return client.recv(100)


def test_a_socket_gets_its_second_name_and_loses_it_at_the_end(start: Start, folder: Path, shown: Path) -> None:
    process = start(LISTEN + 'client, _ = server.accept()\nclient.send(os.environ["GREETING"].encode())')
    until(lambda: greeting(shown) == b"hello")
    assert process.wait(30) == 0
    assert not shown.exists()


def test_a_socket_that_is_made_again_takes_the_name_over(start: Start, folder: Path, shown: Path) -> None:
    start(
        LISTEN
        + 'input = server.accept()\nos.unlink("made.sock")\nnew = listen("made.sock")\nnew.accept()[0].send(b"new")'
    )
    until(shown.exists)
    first = shown.lstat().st_ino
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(shown))
        until(lambda: shown.exists() and shown.lstat().st_ino != first)
    assert greeting(shown) == b"new"


def test_second_names_that_somebody_removed_come_back_with_their_folder(start: Start, shown: Path) -> None:
    start(LISTEN + "import time; time.sleep(600)")
    until(shown.exists)
    shown.unlink()
    shown.parent.rmdir()
    until(shown.exists)


@pytest.mark.parametrize("trick", ["symlink", "file", "fifo", "folder"])
def test_what_is_no_socket_gets_no_second_name(start: Start, folder: Path, shown: Path, trick: str) -> None:
    """A link to the socket of somebody else would lead the requests of callers there."""
    with socket.socket(socket.AF_UNIX) as victim:
        victim.bind(str(folder.parent / "victim.sock"))
        victim.listen()
        ways = {
            "symlink": f'os.symlink({str(folder.parent / "victim.sock")!r}, "made.sock")',
            "file": 'open("made.sock", "w").close()',
            "fifo": 'os.mkfifo("made.sock")',
            "folder": 'os.mkdir("made.sock")',
        }
        process = start(f"import os, time\n{ways[trick]}\nprint('ready', flush=True)\ntime.sleep(1.5)")
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        assert process.wait(30) == 0
        assert list(shown.parent.iterdir()) == []


def test_names_that_an_earlier_process_left_are_gone_before_the_server_starts(
    start: Start, folder: Path, shown: Path
) -> None:
    for path in (folder / "made.sock", shown):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
    process = start("import os; print(os.listdir('.'), flush=True)")
    assert process.communicate(timeout=30)[0] == b"[]\n"
    assert not shown.exists()


@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9), ("import os; os.abort()", -6)],
)
def test_it_ends_as_its_server_did(start: Start, code: str, status: int) -> None:
    assert start(code).wait(30) == status


def test_a_command_that_is_not_there_is_said_and_fails(start: Start) -> None:
    process = start("", argv=["/nowhere/server"])
    assert process.communicate(timeout=30)[0] == b"Cannot start /nowhere/server: No such file or directory.\n"
    assert process.returncode == 1


def test_the_signal_that_ends_it_reaches_a_server_in_a_group_of_its_own_once(start: Start) -> None:
    code = """
import os, signal, time
os.setpgid(0, 0)
seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
print("ready", flush=True)
while not seen:
    time.sleep(0.01)
time.sleep(0.5)
raise SystemExit(40 + len(seen))
"""
    process = start(code)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) == 41


def test_a_server_ends_with_a_keeper_that_is_killed(start: Start) -> None:
    process = start("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    assert process.stdout is not None
    server = int(process.stdout.readline())
    process.kill()
    until(lambda: not Path(f"/proc/{server}").exists())
