"""A real supervisord in a home of its own, with nothing in it but the replicas that a test adds."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from console.home import Home
from console.stack import supervisord
from console.stack.process import SupervisorProcess
from services.engines.base import Observation
from services.engines.local import LocalEngine
from services.specs import Launch, ReplicaSpec

T = TypeVar("T")


@contextmanager
def short_home(prefix: str = "en ") -> Iterator[Home]:
    """Not under pytest's tmp_path: the name of a unix socket may have no more than 107 characters.

    There is a space in the name, because the engine can deal with it. Triton cannot.
    """
    root = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    try:
        yield Home(root=root, runtimes=root / "runtimes")
    finally:
        shutil.rmtree(root)


@contextmanager
def running(home: Home) -> Iterator[SupervisorProcess]:
    """Supervisord of this home, which afterwards looks like one in which nothing was started."""
    supervisord.write(home, [])
    process = SupervisorProcess(home)
    process.start()
    try:
        yield process
    finally:
        process.stop()
        home.supervisor_conf.unlink()


def replica(home: Home, launch: Launch, name: str = "svc-it-r1-0", start_seconds: int = 1, **more: Any) -> ReplicaSpec:
    """`more`: fields of ReplicaSpec."""
    return ReplicaSpec(name=name, run_dir=home.replicas / name, launch=launch, start_seconds=start_seconds, **more)


def wait_for(read: Callable[[], T], condition: Callable[[T], bool], seconds: float = 60) -> T:
    deadline = time.monotonic() + seconds
    while not condition(value := read()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.05)
    return value


def wait_for_state(engine: LocalEngine, state: str, name: str = "svc-it-r1-0", seconds: float = 60) -> Observation:
    return wait_for(lambda: engine.observe(name), lambda seen: seen.state == state, seconds)


def family(pid: int) -> list[int]:
    """The process and all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def server_of(keeper: int) -> psutil.Process:
    """What a keeper started; where that is a box, the first process in it."""
    process = psutil.Process(keeper)
    while process.pid == keeper or process.name() == "bwrap":
        process = wait_for(process.children, bool)[0]
    return process


def child_named(pid: int, text: str) -> psutil.Process:
    """The one process below it with `text` in its name. Waits until there is one: others come and go at a start."""

    def named() -> list[psutil.Process]:
        children = []
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if text in child.name() and child.status() != psutil.STATUS_ZOMBIE:
                    children.append(child)
        return children

    [child] = wait_for(named, lambda children: len(children) == 1)
    return child


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
