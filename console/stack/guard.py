"""Runs one program and makes sure that no descendant of it outlives it: `python -IS guard.py <program> <argument>...`

Stands between `manage.py run` and supervisord. Linux hands a process whose parent ended to the nearest ancestor that
adopts ("child subreaper"), which is this one: a helper that a killed tritonserver left, or a process that a model
detached from it. Such an orphan belongs to nothing that runs and is killed at once; the end of the program kills all
that is left, and the guard ends with the program's status. SIGTERM, which the kernel also sends when `manage.py run`
dies, is passed on; SIGQUIT kills the program.

Standard library only, nothing of ours: -IS.
"""

# Not pathlib, not contextlib: they would double the time that this takes.
# ruff: noqa: PTH123, PTH208, SIM105

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PARENT_PID = "STACK_SUPERVISOR_PID"
SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
LOOK_SECONDS = 1.0
"""A process that is handed to this one sends no signal."""
END_SECONDS = 10.0


def control(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        sys.stderr.write(f"prctl({option}): {os.strerror(ctypes.get_errno())}\n")
        os._exit(1)


def start(argv: list[str]) -> int:
    """The program gets SIGTERM when the guard is killed: it then stops in order what it runs."""
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        control(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != guard:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        env = {**os.environ, PARENT_PID: str(os.getpid())}
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"Cannot start {argv[0]}: {error.strerror}.\n")
    finally:
        os._exit(1)


def children() -> list[int]:
    """Pids of this process' children, zombies among them."""
    pids = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue  # gone meanwhile
            if parent == os.getpid():
                pids.append(int(name))
    return pids


def reap() -> dict[int, int]:
    """Exit status by pid of the children that ended."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def kill_orphans(program: int) -> int:
    """How many there were. What an orphan had started itself becomes a child of this process, and is next."""
    orphans = [pid for pid in children() if pid != program]
    for pid in orphans:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return len(orphans)


def watch(program: int) -> int:
    """Until the program ends; its exit status."""
    while True:
        received = signal.sigtimedwait(SIGNALS, LOOK_SECONDS)
        if received is not None and received.si_signo != signal.SIGCHLD:
            try:
                os.kill(program, signal.SIGKILL if received.si_signo == signal.SIGQUIT else signal.SIGTERM)
            except ProcessLookupError:
                pass
        ended = reap()
        if program in ended:
            return ended[program]
        kill_orphans(program)


def main(argv: list[str]) -> NoReturn:
    control(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    program = start(argv)
    status = watch(program)
    deadline = time.monotonic() + END_SECONDS
    while kill_orphans(program) and time.monotonic() < deadline:
        reap()
        time.sleep(0.01)
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main(sys.argv[1:])
