"""What counts as busy, of real processes; of a GPU, what its driver would say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from services.clients.kernel import activity
from services.clients.kernel.activity import Usage

SPINS = "print('up', flush=True)\nwhile True: pass"
RESTS = "import time; print('up', flush=True); time.sleep(600)"
PARENT = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {SPINS!r}])\ntime.sleep(600)\n"


@contextmanager
def running(code: str) -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "up\n"
        process = psutil.Process(child.pid)
        family = [process, *process.children(recursive=True)]
        try:
            yield process
        finally:
            for each in family:
                each.kill()


def busy(process: psutil.Process) -> bool:
    before = activity.read(process.pid)
    time.sleep(1)
    after = activity.read(process.pid)
    assert before is not None and after is not None
    return activity.is_busy(before, after)


@pytest.mark.parametrize(
    ("code", "expected"), [(SPINS, True), (PARENT, True), (RESTS, False)], ids=["computes", "child computes", "rests"]
)
def test_a_process_is_busy_when_it_or_a_child_computes(code: str, expected: bool) -> None:
    with running(code) as process:
        assert busy(process) is expected


def test_one_that_was_stopped_is_not_busy() -> None:
    with running(SPINS) as process:
        process.suspend()
        assert not busy(process)


def test_one_that_waits_for_a_cpu_is_busy() -> None:
    """It gets next to nothing of one, because another that may take it all runs on the same."""
    cpu = sorted(psutil.Process().cpu_affinity())[0]
    with running(SPINS) as rival, running(SPINS) as process:
        for each in (rival, process):
            each.cpu_affinity([cpu])
        process.nice(19)
        assert busy(process)


def test_many_threads_that_wake_now_and_then_are_not_busy_however_long_each_waits_for_a_cpu() -> None:
    """A server that has nothing to do, on a machine that has too much."""
    threads = [(1, number) for number in range(60)]
    before = Usage(0, dict.fromkeys(threads, 5.0), dict.fromkeys(threads, 50.0))
    after = Usage(3, dict.fromkeys(threads, 5.003), dict.fromkeys(threads, 50.1))
    assert not activity.is_busy(before, after)
    assert activity.is_busy(before, replace(after, waited={**after.waited, (1, 0): 51.6}))


def test_one_that_is_gone_has_no_usage() -> None:
    with running(RESTS) as process:
        pid = process.pid
    assert activity.read(pid) is None


@pytest.mark.parametrize(("pid", "share", "expected"), [(7, 30, True), (8, 30, False), (7, 0, False)])
def test_a_process_that_uses_a_gpu_is_busy(
    monkeypatch: pytest.MonkeyPatch, pid: int, share: int, expected: bool
) -> None:
    sample = SimpleNamespace(pid=pid, smUtil=share, memUtil=0)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetProcessUtilization", lambda handle, since: [sample])
    assert activity._on_gpu(frozenset({7})) is expected
