"""Whether a process computes, as the kernel and the GPU's driver tell: they ask nobody, so nobody can hang.

A process that waits for a CPU on a busy machine counts like one that runs, and one that reads from a disk counts, too:
a replica is stuck only when it does none of that. The descendants of the process count with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pynvml

BUSY_CORES: Final = 0.25
"""All threads together: more than an idle server's own timers and our questions take, less than what computes."""
BUSY_THREAD: Final = 0.5
"""One thread that runs, or could if a CPU were free. Not all together: many that wake now and then wait each time."""
READ_BYTES: Final = 1 << 16
"""From disks, between two looks."""
PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants have used since they began."""

    at: float
    """time.monotonic()."""
    ran: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """Seconds, by process and thread."""
    waited: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """Seconds in which it could have run, and had no CPU."""
    read: Mapping[int, int] = field(default_factory=dict)
    """By process: bytes that came from disks."""
    blocked: bool = False
    """A thread of them waits for a disk just now."""
    on_gpu: bool = False
    """A GPU worked for one of them lately."""


def read(pid: int) -> Usage | None:
    """None when the process is gone."""
    pids = _family(pid)
    if not pids:
        return None
    ran: dict[tuple[int, int], float] = {}
    waited: dict[tuple[int, int], float] = {}
    bytes_read: dict[int, int] = {}
    blocked = False
    for each in pids:
        with suppress(OSError, ValueError, IndexError):
            bytes_read[each] = _bytes_read(each)
        for thread in _threads(each):
            with suppress(OSError, ValueError, IndexError):
                state, ran[each, thread], waited[each, thread] = _thread(each, thread)
                blocked = blocked or state == "D"
    return Usage(time.monotonic(), ran, waited, bytes_read, blocked, _on_gpu(frozenset(pids)))


def is_busy(before: Usage, after: Usage) -> bool:
    """Whether it computed, or read, between the two."""
    if after.on_gpu or after.blocked or sum(_grown(before.read, after.read).values()) >= READ_BYTES:
        return True
    seconds = max(0.1, after.at - before.at)
    ran, waited = _grown(before.ran, after.ran), _grown(before.waited, after.waited)
    busiest = max((ran[thread] + waited.get(thread, 0) for thread in ran), default=0.0)
    return sum(ran.values()) >= BUSY_CORES * seconds or busiest >= BUSY_THREAD * seconds


def _grown(before: Mapping[Any, float], after: Mapping[Any, float]) -> dict[Any, float]:
    return {key: max(0.0, value - before.get(key, 0)) for key, value in after.items()}


def _family(pid: int) -> list[int]:
    """The process and its descendants; none when it is gone. One file a thread: psutil would read all of /proc."""
    pids = [pid] if _threads(pid) else []
    for each in pids:
        for thread in _threads(each):
            with suppress(OSError):
                children = PROC / str(each) / "task" / str(thread) / "children"
                pids.extend(int(child) for child in children.read_text().split())
    return pids


def _threads(pid: int) -> list[int]:
    try:
        return [int(path.name) for path in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return []


def _thread(pid: int, thread: int) -> tuple[str, float, float]:
    """Its state, and for how many seconds it ran and waited for a CPU."""
    folder = PROC / str(pid) / "task" / str(thread)
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    try:
        ran, waited, _slices = (int(text) for text in (folder / "schedstat").read_text().split())
    except (OSError, ValueError):  # a kernel without it tells only how long it ran
        return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 0.0
    return fields[0], ran / 1e9, waited / 1e9


def _bytes_read(pid: int) -> int:
    [line] = [line for line in (PROC / str(pid) / "io").read_text().splitlines() if line.startswith("read_bytes:")]
    return int(line.split()[1])


def _on_gpu(pids: frozenset[int]) -> bool:
    """Samples of the driver's last second or so. No driver, no device, or one that does not tell: no."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    try:
        return any(_works(index, pids) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return False
    finally:
        pynvml.nvmlShutdown()


def _works(index: int, pids: frozenset[int]) -> bool:
    since = int((time.time() - 5) * 1e6)
    try:
        samples = pynvml.nvmlDeviceGetProcessUtilization(pynvml.nvmlDeviceGetHandleByIndex(index), since)
    except pynvml.NVMLError:  # "not found" when no process used it
        return False
    return any(sample.pid in pids and (sample.smUtil or sample.memUtil) for sample in samples)
