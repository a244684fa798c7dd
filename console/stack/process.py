"""The supervisord process: start it, see that it answers, stop it with all that it runs. For the run command only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from console.errors import Unavailable
from console.home import Home
from console.stack import programs, supervisord
from services.engines.local.program import CHILD
from services.engines.local.supervisor import ProcessInfo, Supervisor
from services.errors import EngineError

START_SECONDS = 20
STOP_SECONDS = 60


class SupervisorProcess:
    """Call it from the main thread only: the kernel ends supervisord when the *thread* that started it ends."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Supervisor(home.supervisor_socket)

    def start(self) -> None:
        """Returns when supervisord takes orders. Raises Unavailable, or OSError, when it does not come up."""
        command = [sys.executable, "-IS", str(CHILD), str(supervisord.folder(self._home) / "supervisord.json")]
        env = {**os.environ, supervisord.PARENT_PID: str(os.getpid())}
        output = supervisord.log(self._home, "supervisord-output")
        self._process = None
        with _opened(output) as file:
            # A session of its own: Ctrl-C in the terminal is for the run command, which then stops things in order.
            self._process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._home.run,
            )
        until(self._answers, START_SECONDS, f"The process supervisor does not start: see {output}.")

    @property
    def pid(self) -> int:
        """The process id of supervisord itself, which the guard started."""
        return int(self.client.call("getPID"))

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """First what decides, then what serves, then redis and supervisord itself. Afterwards nothing is left."""
        if self._process is None:
            return
        try:
            self._stop_programs(programs.CONTROL)
            self._stop_programs([info.name for info in self.client.all() if info.name != programs.REDIS])
            self._stop_programs([programs.REDIS])
            # supervisord would take a second for each program, ended or not. Their files stay, for the next start.
            for info in self.client.all():
                self.client.remove(info.name)
            self.client.shutdown()
        except (EngineError, Unavailable):
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)  # the guard kills supervisord and all that it ran
            self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        if self.ended():
            output = supervisord.log(self._home, "supervisord-output")
            raise Unavailable(f"The process supervisor ended at once: {tail(output, 3)}")
        return self.client.answers()

    def _stop_programs(self, names: Iterable[str]) -> None:
        program_names = set(names)
        for name in program_names:
            self.client.stop(name)
        until(
            lambda: not any(info.alive for info in self._among(program_names)),
            STOP_SECONDS,
            "Some programs do not end.",
        )

    def _among(self, names: set[str]) -> list[ProcessInfo]:
        return [info for info in self.client.all() if info.name in names]


def _opened(output: Path) -> IO[bytes]:
    """A disk without room must not keep supervisord from starting: it writes nothing there unless it fails."""
    try:
        return output.open("wb")
    except OSError:
        return Path(os.devnull).open("wb")


def until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait for `condition`; raises Unavailable(otherwise) after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(otherwise)
        time.sleep(0.1)


def tail(path: Path, lines: int) -> str:
    """The last lines of a log, in one line."""
    try:
        return " | ".join(path.read_text("utf-8", "replace").strip().splitlines()[-lines:]) or "it says nothing."
    except FileNotFoundError:
        return "there is no log."
