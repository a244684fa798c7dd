"""One run at a time in one home, and ports that are free before anything starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from console.errors import Conflict
from console.files import take_lock
from console.home import Home
from console.stack import supervisord
from console.stack.process import until
from console.stack.programs import Doors
from console.stack.ready import is_bindable

EARLIER_SECONDS = 90


def make(home: Home) -> None:
    """The file that `held` locks. Raises OSError."""
    home.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home.run / "lock").touch(mode=0o600)


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Raises Conflict when another run holds the home. The kernel lets go of the lock however this process ends."""
    fd = os.open(home.run / "lock", os.O_RDWR | os.O_CLOEXEC)
    try:
        if not take_lock(fd):
            pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            raise Conflict(
                f"The console is already running from {home.root} (pid {pid or 'unknown'}).",
                hint="Stop it with Ctrl-C there, or choose another CONSOLE_HOME.",
            )
        with suppress(OSError):  # the pid is for the sentence above only
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(fd)


def check_ports(doors: Doors) -> None:
    """Raises Conflict that names the port and the variable that moves it."""
    ports = [
        ("The console", doors.bind, doors.console_port, "CONSOLE_PORT"),
        ("The gateway", doors.bind, doors.gateway_port, "GATEWAY_PORT"),
    ]
    seen: dict[int, str] = {}
    for who, host, port, variable in ports:
        if port in seen:
            raise Conflict(f"{seen[port]} and {variable} are both {port}.", hint="Give each a port of its own.")
        seen[port] = variable
        if not is_bindable(port, host):
            raise Conflict(
                f"{who} cannot listen on {host}:{port}: the port is taken, or the address is not this machine's.",
                hint=f"Stop what uses it, or choose another one, for example {variable}={port + 1000}.",
            )


def wait_for_earlier(home: Home, announce: Callable[[str], None]) -> None:
    """When an earlier run was killed, its supervisord is still stopping what it ran: wait for that."""
    path = supervisord.folder(home) / "supervisord.lock"
    if _is_free(path):
        return
    announce("An earlier run is still ending; waiting for it")
    until(lambda: _is_free(path), EARLIER_SECONDS, "An earlier run does not end; see supervisord.log in the logs.")


def _is_free(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return take_lock(fd)
    finally:
        os.close(fd)
