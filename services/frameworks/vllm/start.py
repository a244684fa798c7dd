"""Becomes the vLLM server: `python -IS start.py COMMAND...`. Standard library only; copied into the run directory.

vLLM is several processes, and those that compute outlive a server that is killed: they would hold its memory and its
GPU for ever. So a guard watches the server from outside its process group, and ends the whole group when the server
is gone, however it went. It holds the replica's lock meanwhile, so the next start waits for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

TRACKER = b"multiprocessing.resource_tracker"
"""Frees the shared memory of the others once they are gone: it goes last."""
GRACE = 3.0
"""Seconds for it to do so."""


def members(group: int) -> list[int]:
    """Living processes of the group."""
    pids = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):  # noqa: PTH208
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
                state, _parent, its = file.read().rpartition(b")")[2].split()[:3]
        except OSError:
            continue
        if int(its) == group and state != b"Z":
            pids.append(pid)
    return pids


def is_tracker(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return TRACKER in file.read()
    except OSError:
        return False


def end(group: int) -> None:
    deadline = time.monotonic() + GRACE
    while left := members(group):
        late = time.monotonic() > deadline
        for pid in left:
            if late or not is_tracker(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def guard(server: int, descriptor: int) -> None:
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # whoever reads the log waits for its end
        os.dup2(null, standard)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while not select.select([descriptor], [], [])[0]:
        pass
    end(server)


def main(command: list[str]) -> None:
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    server = os.getpid()
    descriptor = os.pidfd_open(server)
    if os.fork() == 0:
        try:
            guard(server, descriptor)
        finally:
            os._exit(0)
    os.close(descriptor)
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
