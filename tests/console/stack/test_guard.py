"""guard.py as the process that it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from console.stack.supervisord import GUARD
from tests.integration.engine_home import gone, wait_for

# A process in a session of its own, which outlives its parent.
DETACHED = (
    "import subprocess, sys; "
    "print(subprocess.Popen(['/bin/sleep', '600'], start_new_session=True, stdout=subprocess.DEVNULL).pid, flush=True)"
)


def start(code: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-IS", str(GUARD), sys.executable, "-IS", "-c", code]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("code", "status"), [("pass", 0), ("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_it_ends_as_its_program_does(code: str, status: int) -> None:
    process = start(code)
    process.communicate(timeout=20)
    assert process.returncode == status


def test_the_program_knows_its_own_pid_as_that_of_the_supervisor() -> None:
    process = start("import os; print(os.environ['STACK_SUPERVISOR_PID'] == str(os.getpid()))")
    assert process.communicate(timeout=20)[0] == "True\n"


def test_what_the_program_left_behind_is_killed() -> None:
    process = start(DETACHED)
    orphan = int(line(process))
    assert process.wait(20) == 0
    assert gone(orphan)


def test_an_orphan_is_killed_while_the_program_runs() -> None:
    code = f"import subprocess, sys, time; subprocess.run([sys.executable, '-IS', '-c', {DETACHED!r}]); time.sleep(600)"
    process = start(code)
    orphan = int(line(process))
    wait_for(lambda: gone(orphan), bool)
    assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM


def test_the_end_of_the_program_by_kill_9_is_the_end_of_its_grandchildren() -> None:
    process = start(f"import os, time; exec({DETACHED!r}); print(os.getpid(), flush=True); time.sleep(600)")
    orphan, program = int(line(process)), int(line(process))
    os.kill(program, signal.SIGKILL)
    assert process.wait(20) == 128 + signal.SIGKILL
    assert gone(orphan)


def test_a_program_that_does_not_listen_is_killed_on_demand(tmp_path: Path) -> None:
    process = start(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    assert line(process) == "deaf"
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGQUIT)
    assert process.wait(20) == 128 + signal.SIGKILL


def test_when_the_guard_is_killed_its_program_is_asked_to_end() -> None:
    process = start("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    program = psutil.Process(int(line(process)))
    process.kill()
    wait_for(lambda: gone(program.pid), bool)
