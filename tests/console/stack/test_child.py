"""child.py as the process that it is."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from services.engines.local.program import CHILD


def start(tmp_path: Path, around: dict[str, str] | None = None, **launch: Any) -> subprocess.Popen[str]:
    path = tmp_path / "launch.json"
    path.write_text(json.dumps({"env": {}, "cwd": str(tmp_path), **launch}))
    return subprocess.Popen(
        [sys.executable, "-IS", str(CHILD), str(path)],
        env=around or {},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=20)[0]


def python(code: str) -> list[str]:
    return [sys.executable, "-IS", "-c", code]


def test_it_becomes_the_program_with_its_environment_and_nothing_else(tmp_path: Path) -> None:
    process = start(tmp_path, {"SECRET": "1"}, argv=["/usr/bin/env"], env={"A": "b\nc"})
    assert output_of(process) == "A=b\nc\n"


def test_it_starts_in_the_folder_that_it_is_told(tmp_path: Path) -> None:
    assert output_of(start(tmp_path, argv=["/bin/pwd", "-P"])) == f"{tmp_path.resolve()}\n"


def test_it_adds_to_the_environment_when_told_so(tmp_path: Path) -> None:
    argv = python("import os; print(os.environ['A'], os.environ['B'])")
    process = start(tmp_path, {"B": "c"}, argv=argv, env={"A": "b"}, inherit_env=True)
    assert output_of(process) == "b c\n"


def test_files_of_the_program_are_the_owners(tmp_path: Path) -> None:
    assert output_of(start(tmp_path, argv=["/bin/sh", "-c", "umask"])) == "0077\n"


def test_the_program_ignores_no_signal_that_python_ignores(tmp_path: Path) -> None:
    status = output_of(start(tmp_path, argv=["/bin/cat", "/proc/self/status"]))
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    assert int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_the_program_may_open_as_many_files_as_the_machine_allows(tmp_path: Path) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    expected = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    assert int(output_of(start(tmp_path, argv=["/bin/sh", "-c", "ulimit -n"]))) >= expected


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "launch.json"
    path.write_text(json.dumps({"argv": ["/bin/sleep", "600"], "env": {}, "cwd": "/"}))
    parent_code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-IS', {str(CHILD)!r}, {str(path)!r}])\n"
        "print(child.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen(python(parent_code), stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 10
    while child.name() != "sleep" and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.communicate()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.02)


def test_it_does_not_start_when_its_supervisor_is_gone_already(tmp_path: Path) -> None:
    process = start(tmp_path, {"STACK_SUPERVISOR_PID": "1"}, argv=["/bin/echo", "started"])
    assert output_of(process) == "The process supervisor ended while this program was starting.\n"
    assert process.returncode == 1


def test_it_waits_for_an_earlier_instance_to_end(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    fd = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    process = start(tmp_path, argv=["/bin/echo", "started"], lock=str(lock), lock_grace=60)
    time.sleep(0.2)
    assert process.poll() is None
    os.close(fd)
    assert output_of(process) == "started\n"


def test_it_kills_an_earlier_instance_that_does_not_end(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = (
        "import fcntl, os, signal, sys, time\n"
        f"fd = os.open({str(lock)!r}, os.O_RDWR | os.O_CREAT); fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('holds', flush=True); time.sleep(600)\n"
    )
    holder = subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "holds\n"
    process = start(tmp_path, argv=["/bin/echo", "started"], lock=str(lock), lock_grace=0.1)
    assert output_of(process) == "started\n"
    assert holder.wait(5) == -signal.SIGKILL
    holder.stdout.close()


def test_children_that_a_dead_instance_left_behind_are_killed_soon(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = "import subprocess; print(subprocess.Popen(['/bin/sleep', '600'], close_fds=False).pid, flush=True)"
    first = start(tmp_path, argv=python(code), lock=str(lock))
    assert first.stdout
    orphan = psutil.Process(int(first.stdout.readline()))
    assert first.wait(10) == 0
    began = time.monotonic()
    assert output_of(start(tmp_path, argv=["/bin/echo", "started"], lock=str(lock), lock_grace=60)) == "started\n"
    assert time.monotonic() - began < 20
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    first.stdout.close()


def test_it_gives_up_after_too_many_starts_under_one_supervisor(tmp_path: Path) -> None:
    limit = [2, 300, str(tmp_path / "starts")]
    results = [output_of(start(tmp_path, argv=["/bin/echo", "started"], start_limit=limit)) for _ in range(3)]
    assert results[:2] == ["started\n", "started\n"]
    assert results[2] == "Started 2 times in the last 300 seconds, and ended each time: giving up.\n"


def test_starts_long_ago_or_under_another_supervisor_do_not_count(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    starts.write_text(f"1 {time.time()}\n1 {time.time()}\n{os.getpid()} {time.time() - 400}\n")
    process = start(tmp_path, argv=["/bin/echo", "started"], start_limit=[1, 300, str(starts)])
    assert output_of(process) == "started\n"


def test_what_a_full_disk_left_of_the_starts_does_not_keep_a_program_from_starting(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    starts.write_text(f"{os.getpid()} {time.time()}\n{os.getpid()}\n\nxyz 1\n{os.getpid()} 17")
    assert output_of(start(tmp_path, argv=["/bin/echo", "started"], start_limit=[2, 300, str(starts)])) == "started\n"


def test_starts_that_cannot_be_written_down_do_not_keep_a_program_from_starting(tmp_path: Path) -> None:
    limit = [2, 300, str(tmp_path)]  # no file: neither read nor written
    assert output_of(start(tmp_path, argv=["/bin/echo", "started"], start_limit=limit)) == "started\n"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    process = start(tmp_path, argv=["/no/such/program"])
    assert output_of(process) == "Cannot start /no/such/program: No such file or directory.\n"
    assert process.returncode == 1
