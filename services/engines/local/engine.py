"""Replicas under the stack's supervisord. What a replica is doing is always asked of supervisord, never remembered.

Two workers may call this for one replica at the same time: supervisord takes one call after the other, and each step
here accepts that the other was faster.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from console.home import Home
from services.engines import base
from services.engines.base import Containment, Engine, LogChunk, Observation, Site
from services.engines.local import box, launch, logs, sandboxes
from services.engines.local.launch import Papers
from services.engines.local.program import NAME, Program, render
from services.engines.local.supervisor import ProcessInfo, Supervisor
from services.errors import EngineError
from services.listeners import Listeners
from services.specs import ReplicaSpec

PREFIX = "svc-"
"""Names of replicas begin so; the other programs of this supervisord are the stack's own."""

STATES: Final = {
    "STARTING": base.STARTING,
    "RUNNING": base.RUNNING,
    "BACKOFF": base.BACKOFF,
    "EXITED": base.BACKOFF,  # it ended by itself and starts again at supervisord's next tick
    "FATAL": base.FAILED,
    "UNKNOWN": base.FAILED,
    "STOPPING": base.STOPPED,
    "STOPPED": base.STOPPED,
}
GAVE_UP: Final = frozenset({"FATAL", "STOPPED", "EXITED"})
STOP_SECONDS = 60
"""How long `stop` waits when it has no spec that says; supervisord does have the spec's time and kills after it."""


class LocalEngine(Engine):
    def __init__(self, home: Home, sandbox: str = sandboxes.AUTO) -> None:
        self._home = home
        self._sandbox = sandbox
        self._supervisor = Supervisor(home.supervisor_socket)

    def apply(self, spec: ReplicaSpec) -> None:
        name, papers = spec.name, self._papers(spec.name)
        before = self._supervisor.info(name)  # first of all: nothing is written when supervisord is away
        gave_up = before is not None and before.state in GAVE_UP
        try:
            self._log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            digest = launch.prepare(spec, papers, self.listeners(name), self._box(spec))
            launch.write(papers.conf, render(self._program(spec, digest)).encode())
        except OSError as error:
            raise EngineError(f"Cannot prepare {name}: {error.strerror or error}.") from error
        added, changed = self._supervisor.reload()
        if name in changed:
            self._end(name, spec.stop_seconds)
            self._supervisor.remove(name)
        if name in changed or name in added or gave_up:
            papers.forget_starts()
        if name in changed or name in added:
            self._supervisor.add(name)
        elif gave_up:
            self._supervisor.start(name)

    def containment(self) -> Containment:
        return sandboxes.containment(self._sandbox)

    def site(self, name: str, tree: Path) -> Site:
        return box.SITE if self.containment().boxed else Site(tree, self._home.replicas / name)

    def listeners(self, name: str) -> Listeners:
        digest = hashlib.sha256(name.encode()).digest()[:5]
        return Listeners.in_folder(self._home.sockets / base64.b32encode(digest).decode().lower())

    def observe(self, name: str) -> Observation:
        info = self._supervisor.info(_checked(name))
        if info is None:
            return Observation(base.ABSENT)
        return Observation(STATES.get(info.state, base.FAILED), info.pid, info.uptime, _message(info))

    def restart(self, name: str, *, hangs: bool = False) -> None:
        if self._supervisor.info(_checked(name)) is None:
            raise EngineError(f"{name} is not here to be restarted.", permanent=True)
        self._end(name, kill=hangs)
        self._papers(name).forget_starts()
        self._supervisor.start(name)

    def stop(self, name: str) -> None:
        papers = self._papers(name)
        # The file first: should we die half-way, no later supervisord starts it again, and `names` still tells of it.
        papers.conf.unlink(missing_ok=True)
        self._end(name)
        self._supervisor.remove(name)
        papers.launch.unlink(missing_ok=True)
        papers.forget_starts()
        shutil.rmtree(Path(self.listeners(name).http.path).parent, ignore_errors=True)

    def names(self) -> list[str]:
        running = {info.name for info in self._supervisor.all() if info.name.startswith(PREFIX)}
        written = {path.stem for path in self._home.programs.glob(f"{PREFIX}*.conf")}
        return sorted(running | written)

    def logged(self) -> list[str]:
        return sorted(path.stem for path in self._log_dir.glob(f"{PREFIX}*.log"))

    def erase(self, name: str) -> None:
        log = self._log(_checked(name))
        for path in (*log.parent.glob(f"{log.name}.*"), log):
            path.unlink(missing_ok=True)

    def logs(self, name: str, offset: int | None = None, limit: int = 65536) -> LogChunk:
        return logs.read(self._log(_checked(name)), offset, limit)

    def _end(self, name: str, stop_seconds: int = STOP_SECONDS, *, kill: bool = False) -> None:
        """Stop the process and wait until it is gone, with all that it started: they hold its memory and its GPUs.

        supervisord kills it once its own `stopwaitsecs` is over.
        """
        family = _family(self._supervisor.info(name))
        self._supervisor.stop(name)  # first: supervisord must not start again what is killed
        if kill and (hung := self._supervisor.info(name)) is not None and hung.alive and hung.pid:
            with suppress(ProcessLookupError):
                os.killpg(hung.pid, signal.SIGKILL)
        deadline = time.monotonic() + stop_seconds + 10
        while (info := self._supervisor.info(name)) is not None and info.alive:
            if time.monotonic() > deadline:
                raise EngineError(f"{name} (pid {info.pid}) does not end.")
            time.sleep(0.05)
        _, alive = psutil.wait_procs(family, timeout=max(1.0, deadline - time.monotonic()))
        if alive:
            raise EngineError(f"{name} has ended, and its process {alive[0].pid} does not.")

    def _box(self, spec: ReplicaSpec) -> tuple[str, ...]:
        """The command that makes it; empty without one."""
        if spec.tree is None or spec.runtime is None:
            return ()
        if not self.containment().boxed:
            return ()
        return box.Box(spec.run_dir, spec.tree, spec.runtime, spec.launch.shared_memory_mib, spec.devices).command()

    def _program(self, spec: ReplicaSpec, digest: str) -> Program:
        papers = self._papers(spec.name)
        return Program(
            name=spec.name,
            launch_file=papers.launch,
            log=self._log(spec.name),
            digest=digest,
            start_seconds=spec.start_seconds,
            start_retries=spec.start_retries,
            stop_seconds=spec.stop_seconds,
        )

    def _papers(self, name: str) -> Papers:
        return Papers(self._home.programs, _checked(name))

    def _log(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    @property
    def _log_dir(self) -> Path:
        return self._home.logs / "replicas"


def _family(info: ProcessInfo | None) -> list[psutil.Process]:
    """What it has started."""
    if info is None or not info.pid:
        return []
    try:
        return list(psutil.Process(info.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _checked(name: str) -> str:
    if not name.startswith(PREFIX) or not NAME.fullmatch(name):
        raise EngineError(f"{name!r} is not the name of a replica.", permanent=True)
    return name


def _message(info: ProcessInfo) -> str:
    match info.state:
        case "BACKOFF":
            return "It ended before it was up; starting it again shortly."
        case "EXITED":
            return f"It ended ({_how(info.exit_status)}); starting it again."
        case "FATAL":
            return "It ended each time it was started; no further try is made."
        case "STOPPING":
            return "Stopping."
        case _:
            return ""


def _how(status: int) -> str:
    """supervisord says -1 for a process that a signal ended."""
    return "killed by a signal" if status < 0 else f"exit status {status}"
