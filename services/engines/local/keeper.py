"""Stands between supervisord and one replica: `python -IS keeper.py <launch.json>`. Standard library only.

It starts the server, passes on the signal that ends it, ends as it ended, and gives its sockets to the gateway. A
server makes them in its own working directory, where a model may put anything under their names; what is really a
socket gets a second name here, in a folder that no replica reaches. A name that leads elsewhere would lead the requests
of callers there.

launch.json: `replica` holds
  argv, env     of the server
  folder        its working directory
  sockets       name in that folder -> path that the gateway uses
  box           the command in front of it that makes a box (box.py); empty: none
  seccomp       the filter of system calls for the box, base64
"""

# Not pathlib, not contextlib: they would double the time that a start takes.
# ruff: noqa: PTH103, PTH104, PTH108, PTH118, PTH120, PTH123, SIM105

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

PR_SET_PDEATHSIG = 1
ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNALS: Final = (*ENDING, signal.SIGCHLD)
STARTING_SECONDS: Final = 0.05
"""Between two looks for sockets that are not there yet."""
RUNNING_SECONDS: Final = 1.0
"""Between two looks whether they are still the same."""


def main(path: str) -> NoReturn:
    with open(path, encoding="utf-8") as file:
        replica: dict[str, Any] = json.load(file)["replica"]
    sockets = {os.path.join(replica["folder"], name): shown for name, shown in replica["sockets"].items()}
    remove([*sockets, *sockets.values()])
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    server = Server(replica)
    status = keep(server, sockets)
    remove(sockets.values())
    end_as(status)


class Server:
    """The process that this one starts: the server itself, or the box that it is in."""

    def __init__(self, replica: Mapping[str, Any]) -> None:
        box: list[str] = replica["box"]
        self.command: list[str] = replica["argv"]
        self.is_boxed = bool(box)
        self.info, info, calls = -1, -1, -1
        """Where bubblewrap says which process is the first one in the box."""
        self.first = 0
        """That process, once it was asked for."""
        if box:
            self.info, info = os.pipe()
            calls = file_of(base64.b64decode(replica["seccomp"]))
            options = ["--info-fd", str(info), *(["--seccomp", str(calls)] if calls >= 0 else [])]
            self.command = [*box, *options, "--", *self.command]
        self.pid = self.start(replica, (info, calls) if box else None)
        for descriptor in (info, calls):
            if descriptor >= 0:
                os.close(descriptor)

    def start(self, replica: Mapping[str, Any], descriptors: Iterable[int] | None) -> int:
        """It ends with this process, however that ends. `descriptors` are all that a box is given."""
        keeper = os.getpid()
        if pid := os.fork():
            return pid
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.chdir(replica["folder"])
            if descriptors is not None:
                os.setpgid(0, 0)  # what ends the group must not end the box before its server
                close_all_but(descriptors)
            os.execvpe(self.command[0], self.command, replica["env"])  # noqa: S606 - no shell is the point
        except OSError as error:
            os.write(2, f"Cannot start {self.command[0]}: {error.strerror}.\n".encode())
        finally:
            os._exit(1)

    def end(self, number: int) -> None:
        """Unless it is in the group of this process, and has had the signal by now."""
        try:
            if os.getpgid(self.pid) != os.getpgrp():
                os.kill(self.inside() or self.pid, number)
        except ProcessLookupError:
            pass

    def inside(self) -> int:
        """The server in the box; 0 when there is none, or not yet."""
        try:
            if self.is_boxed and not self.first:
                self.first = json.loads(os.read(self.info, 4096))["child-pid"]
            if not self.first:
                return 0
            with open(f"/proc/{self.first}/task/{self.first}/children", encoding="ascii") as file:
                return min(map(int, file.read().split()), default=0)
        except (OSError, ValueError, KeyError):
            return 0

    def status(self) -> int | None:
        """As waitpid gives it, once it has ended. A box ends with 128 and the signal that ended its server."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code - 128 if self.is_boxed and code > 128 else status


def file_of(content: bytes) -> int:
    """A descriptor that reads it; -1 for nothing."""
    if not content:
        return -1
    descriptor = os.memfd_create("replica")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def close_all_but(descriptors: Iterable[int]) -> None:
    first = 3
    for descriptor in sorted(each for each in descriptors if each >= 0):
        os.set_inheritable(descriptor, True)
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def keep(server: Server, sockets: Mapping[str, str]) -> int:
    """Until it has ended: its status."""
    while True:
        seconds = RUNNING_SECONDS if show(sockets) else STARTING_SECONDS
        received = signal.sigtimedwait(SIGNALS, seconds)
        if received and received.si_signo in ENDING:
            server.end(received.si_signo)
        status = server.status()
        if status is not None:
            return status


def show(sockets: Mapping[str, str]) -> bool:
    """Gives each socket its second name. Whether all have it."""
    shown = [show_one(*names) for names in sockets.items()]
    return all(shown)


def show_one(own: str, shown: str) -> bool:
    try:
        status = os.lstat(own)
        if not stat.S_ISSOCK(status.st_mode):
            return False
        if same(status, shown):
            return True
        temporary = f"{shown}.tmp"
        os.makedirs(os.path.dirname(shown), 0o700, exist_ok=True)  # somebody may have removed it meanwhile
        remove([temporary])
        os.link(own, temporary, follow_symlinks=False)
        # What was linked, and not what was looked at: the replica may have changed it in between.
        if not stat.S_ISSOCK(os.lstat(temporary).st_mode):
            remove([temporary])
            return False
        os.rename(temporary, shown)
    except OSError:
        return False
    return True


def same(status: os.stat_result, shown: str) -> bool:
    try:
        return os.path.samestat(status, os.lstat(shown))
    except FileNotFoundError:
        return False


def remove(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass


def end_as(status: int) -> NoReturn:
    """With the same exit status, or by the same signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


if __name__ == "__main__":
    main(sys.argv[1])
