"""supervisord with logs that cannot end it: `python -m console.stack.supervise -c <conf>`.

supervisord reads what its programs print and writes it to their logs. As it comes, an error while it writes goes to
its own standard error; when that fails too, as on a full disk, it closes the program's pipe and ends soon after. Here
a log drops what the disk does not take. The programs themselves never write to a disk to log.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor import loggers, process, supervisord
from supervisor.states import SupervisorStates

from console.home import Home, from_environment
from console.stack import reserve
from console.stack.logs.file import LogFile
from console.stack.programs import NEVER_GIVE_UP

RAW = "%(message)s"
RESERVE_SECONDS = 2.0
LONGEST_PAUSE = 15.0
"""Seconds between two tries to start a program of the stack. supervisord alone waits a second longer each time."""


class Handler:
    """What supervisord's loggers expect of a handler."""

    def __init__(self, log: LogFile, level: int, template: str) -> None:
        self.level = level
        self._log, self._template = log, template

    def emit(self, record: Any) -> None:
        if self._template == RAW and isinstance(record.msg, bytes):
            self._log.write(record.msg)
            return
        try:
            text = self._template % record.asdict()
        except (KeyError, TypeError, ValueError):
            text = f"{record.msg}\n"
        self._log.write(text.encode("utf-8", "replace"))

    def close(self) -> None:
        self._log.close()

    def reopen(self) -> None:
        self._log.close()  # the next line opens it

    def remove(self) -> None:
        self._log.remove()


class Output:
    """Standard output and error of supervisord itself, whose tracebacks must not become errors."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def handle_file(
    logger: Any, filename: str, fmt: str, rotating: bool = False, maxbytes: int = 0, backups: int = 0
) -> None:
    """In place of the function of this name in supervisor.loggers, through which all of its logs are opened."""
    log = LogFile(Path(filename), max_bytes=maxbytes if rotating else 0, backups=backups)
    logger.addHandler(Handler(log, logger.level, fmt))


def limit_pauses(change_state: Any) -> Any:
    """Around Subprocess.change_state: what failed for an hour is back soon after its cause has gone."""

    def changed(self: Any, new_state: int, expected: bool = True) -> Any:
        result = change_state(self, new_state, expected)
        if new_state == process.ProcessStates.BACKOFF and self.config.startretries >= NEVER_GIVE_UP:
            self.delay = min(self.delay, time.time() + LONGEST_PAUSE)
        return result

    return changed


def keep_up(tick: Any, home: Home) -> Any:
    """Around Supervisor.tick, which comes by each second.

    A socket file that somebody removed is made again, and room is set aside for the files that must go on growing.
    """
    next_reserve = 0.0

    def ticked(self: Any, now: float | None = None) -> None:
        nonlocal next_reserve
        tick(self, now)
        if time.monotonic() > next_reserve:
            next_reserve = time.monotonic() + RESERVE_SECONDS
            reserve.keep(home)
        options = self.options
        files = [Path(config["file"]) for config in options.server_configs if "file" in config]
        if options.mood == SupervisorStates.RUNNING and not all(file.exists() for file in files):
            options.close_httpservers()
            options.httpservers = []
            with suppress(OSError, ValueError):
                options.httpservers = options.make_http_servers(self)

    return ticked


def main() -> None:
    supervisord.Supervisor.tick = keep_up(supervisord.Supervisor.tick, from_environment())
    loggers.handle_file = handle_file
    process.Subprocess.change_state = limit_pauses(process.Subprocess.change_state)
    sys.stdout, sys.stderr = Output(sys.stdout), Output(sys.stderr)
    supervisord.main()


if __name__ == "__main__":
    main()
