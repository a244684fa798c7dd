"""Keeps the stack up until it is told to end: what `manage.py run` does once everything is prepared.

The main thread watches; the first-run steps, which wait for a model to load, are in a second one, so that Ctrl-C works
and a supervisord that dies is replaced at any moment.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TypeVar

from console.errors import ConsoleError, Unavailable
from console.home import Home
from console.stack import ready, supervisord
from console.stack.process import SupervisorProcess, tail, until
from console.stack.programs import Doors, StackProgram
from console.stack.sockets import Sockets
from console.web import trouble
from services.engines.local.supervisor import ProcessInfo
from services.errors import EngineError

T = TypeVar("T")
Announce = Callable[[str], None]
FirstRun = Callable[[Announce], Mapping[str, str]]

LOOK_SECONDS = 1.0
READY_SECONDS = 60
SHORT_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = 0.25, 1.0, 16.0
"""Seconds between tries. There is always a next one: a full disk, or a database that is away, comes to an end."""
STEADY_SECONDS = 60.0
"""A supervisord that ran this long is restarted without a pause."""


class Stop(BaseException):
    """A signal asked for the end. Not an Exception: nothing on the way may swallow it."""


class Runner:
    def __init__(self, home: Home, doors: Doors, programs: list[StackProgram], announce: Announce) -> None:
        self._home, self._doors, self._programs, self._announce = home, doors, programs, announce
        self._process = SupervisorProcess(home)
        self._pauses = Pauses(SHORT_PAUSE)
        self._started = 0.0
        self._pids: dict[str, int] = {}
        self._sockets = Sockets()
        self._troubled: set[str] = set()

    def run(self, first_run: FirstRun, tell: Callable[[Mapping[str, str]], None], *, exit_when_ready: bool) -> int:
        """Exit status: 0 after a signal. With `exit_when_ready`, 0 when ready and 1 for whatever is in the way."""
        outcome = Outcome(patient=not exit_when_ready)
        try:
            self._announce(f"Starting {', '.join(program.name for program in self._programs)}")
            for step in (self._start, self._wait_until_up):
                retry(step, self._announce, patient=not exit_when_ready, explain=passing)
            threading.Thread(target=outcome.work, args=(first_run, self._announce), daemon=True).start()
            while True:
                time.sleep(LOOK_SECONDS if outcome.reported else 0.1)
                self._check_programs()
                if outcome.news():
                    if outcome.crashed or (outcome.failed and exit_when_ready):
                        self._announce(outcome.text)
                        return 1
                    if outcome.failed:
                        self._announce(f"{outcome.text} The console is up all the same. Ctrl-C ends it.")
                    else:
                        tell(outcome.summary)
                    if exit_when_ready:
                        return 0
        except Stop:
            return 0
        except ConsoleError as error:
            self._announce(str(error))
            return 1
        finally:
            self._announce("Stopping")
            self._process.stop()
            self._announce("Everything has ended")

    def _wait_until_up(self) -> None:
        """Wait for every program to answer. One that died meanwhile is reported and started again."""
        logs = self._home.logs
        checks: list[tuple[str, Callable[[], bool]]] = [
            ("redis", lambda: ready.redis_answers(self._home.redis_socket)),
            ("web", lambda: ready.listens(self._doors.bind, self._doors.console_port)),
            ("bridge", lambda: ready.accepts(self._home.bridge_http) and ready.accepts(self._home.bridge_grpc)),
            ("gateway", lambda: ready.listens(self._doors.bind, self._doors.gateway_port)),
        ]
        names = {program.name for program in self._programs}
        for name, answers in checks:
            if name in names:
                try:
                    until(partial(self._answers_now, answers), READY_SECONDS, "")
                except Unavailable:
                    last_lines = tail(logs / f"{name}.log", 5)
                    raise Unavailable(f"{name} does not answer; the end of its log: {last_lines}") from None

    def _answers_now(self, answers: Callable[[], bool]) -> bool:
        self._check_programs()
        return answers()

    def _check_programs(self) -> None:
        if self._process.ended():
            self._replace_supervisord()
        try:
            infos = self._process.client.all()
        except EngineError:
            return  # the next look tells whether it is gone
        programs = {program.name: program for program in self._programs}
        for info in infos:
            if info.name in programs:
                self._report(info)
                self._repair(programs[info.name], info)

    def _repair(self, program: StackProgram, info: ProcessInfo) -> None:
        """Restore removed files: those that a program starts from, and the sockets of a running program."""
        with suppress(OSError):  # a full disk: the next look tries again
            if info.state == "BACKOFF":
                supervisord.write(self._home, self._programs)
            elif problem := self._sockets.problem(program, info):
                self._announce(f"{program.name} {problem}; starting it again")
                os.kill(info.pid, signal.SIGTERM)  # supervisord starts what ends by itself

    def _start(self) -> None:
        supervisord.write(self._home, self._programs)
        self._pids.clear()
        self._process.start()
        self._started = time.monotonic()

    def _replace_supervisord(self) -> None:
        """One try, unless it is too early for the next one."""
        if self._started:
            if time.monotonic() - self._started > STEADY_SECONDS:
                self._pauses = Pauses(SHORT_PAUSE)
            self._started = 0.0
            self._announce("The process supervisor ended; starting it again with all that it ran")
        if self._pauses.over():
            try:
                self._start()
            except (ConsoleError, OSError) as error:
                self._announce(f"{passing(error) or error} {self._pauses.next()}")
            else:
                self._pauses.next()

    def _report(self, info: ProcessInfo) -> None:
        """Announce a program that was restarted, and one that does not start."""
        if info.state == "RUNNING":
            before = self._pids.get(info.name)
            if before not in (None, info.pid) or info.name in self._troubled:
                self._announce(f"{info.name} had ended; it runs again")
            self._pids[info.name] = info.pid
            self._troubled.discard(info.name)
        elif info.state in {"BACKOFF", "FATAL"} and info.name not in self._troubled:
            self._troubled.add(info.name)
            last_lines = tail(supervisord.log(self._home, info.name), 3)
            self._announce(f"{info.name} does not start; trying again. The end of its log: {last_lines}")


class Pauses:
    """Growing pauses between tries of one thing."""

    def __init__(self, first: float = FIRST_PAUSE) -> None:
        self._seconds, self._until = first, 0.0

    def over(self) -> bool:
        return time.monotonic() >= self._until

    def left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def next(self) -> str:
        """Begins the next pause; the sentence that says so."""
        seconds, self._seconds = self._seconds, min(2 * self._seconds, LONGEST_PAUSE)
        self._until = time.monotonic() + seconds
        return f"Trying again in {seconds:g} s."


def passing(error: Exception) -> ConsoleError | None:
    """The error as one that may pass: during a start, every ConsoleError may."""
    return error if isinstance(error, ConsoleError) else trouble.explain(error)


def retry(
    step: Callable[[], T],
    announce: Announce,
    *,
    patient: bool,
    explain: Callable[[Exception], ConsoleError | None] = trouble.explain,
) -> T:
    """The result of `step`, retried while `explain` says that its error may pass. Without `patient`, one try."""
    pauses = Pauses()
    while True:
        try:
            return step()
        except Exception as error:
            reason = explain(error)
            if reason is None:
                raise
            if not patient:
                raise reason from error
            announce(f"{reason} {pauses.next()}")
            time.sleep(pauses.left())


class Outcome:
    """How the first-run steps went, handed from their thread to the main one."""

    def __init__(self, *, patient: bool) -> None:
        self._patient = patient
        self.summary: Mapping[str, str] = {}
        self.text = ""
        self.failed = self.crashed = self.reported = False
        self._done = threading.Event()

    def work(self, first_run: FirstRun, announce: Announce) -> None:
        try:
            self.summary = retry(lambda: first_run(announce), announce, patient=self._patient)
        except ConsoleError as error:
            self.failed, self.text = True, str(error)
        except Exception:
            self.crashed, self.text = True, traceback.format_exc()
        finally:
            self._done.set()

    def news(self) -> bool:
        """Whether the steps are over and this was not reported yet. True once."""
        if self.reported or not self._done.is_set():
            return False
        self.reported = True
        return True


@contextmanager
def signals_stop() -> Iterator[None]:
    """Within, the first SIGINT, SIGTERM or SIGHUP raises Stop; later ones are ignored, the end is on its way."""
    watched = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        watched.append(signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in watched:
            signal.signal(number, signal.SIG_IGN)
        raise Stop

    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
