"""Tells a program that lost its socket files, and has to be restarted, from one that is still making them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from console.stack.programs import StackProgram
from services.engines.local.supervisor import ProcessInfo

SETTLED_SECONDS = 10.0
"""A younger process is not restarted: that would not end when something removes the files again and again."""
START_SECONDS = 120.0
"""A process without socket files after this time will not make any. Most take 2 s, and 20 s on a busy machine."""


class Sockets:
    """What is known of the socket files of each program, from one look to the next."""

    def __init__(self) -> None:
        self._complete: dict[str, int] = {}
        """The process id that made them all, by name."""

    def problem(self, program: StackProgram, info: ProcessInfo) -> str:
        """Why the process has to be restarted, such as "has lost http.sock". Empty if it has not."""
        if info.state != "RUNNING":
            return ""
        missing = [path.name for path in program.sockets if not path.exists()]
        if not missing:
            if _newer(program.sockets, time.time() - info.uptime - 1):  # supervisord counts whole seconds
                self._complete[info.name] = info.pid
            return ""
        if self._complete.get(info.name) == info.pid and info.uptime > SETTLED_SECONDS:
            return f"has lost {', '.join(missing)}"
        if info.uptime > START_SECONDS:
            return f"has not made {', '.join(missing)} in {START_SECONDS:g} s"
        return ""


def _newer(paths: Iterable[Path], moment: float) -> bool:
    """Not left by the process before, which this one is about to replace."""
    return all(path.stat().st_mtime >= moment for path in paths)
