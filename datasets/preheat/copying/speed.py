"""How fast bytes move: measured, and held back. No Django."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StreamState:
    """Progress of streams. `moved`: bytes received. `moving`: (path, size, bytes done)."""

    bytes_on_disk: int
    moved: int
    files: int
    moving: tuple[tuple[str, int, int], ...]


class Speed:
    """Bytes per second over the last few seconds, from readings of a growing count."""

    def __init__(self, window: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window, clock
        self._readings: list[tuple[float, int]] = []

    def reading(self, count: int) -> float:
        now = self._clock()
        self._readings.append((now, count))
        while len(self._readings) > 2 and self._readings[0][0] < now - self._window:
            self._readings.pop(0)
        then, before = self._readings[0]
        elapsed = now - then
        return (count - before) / elapsed if elapsed > 0 else 0.0


class Limit:
    """At most so many bytes a second, for all streams of this process together. 0: no limit."""

    def __init__(self, bytes_per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = bytes_per_second, clock
        self._lock = threading.Lock()
        self._free_at = 0.0

    def pause(self, count: int) -> float:
        """How many seconds to wait after `count` bytes more."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + count / self._rate
            return self._free_at - now


BUSY_LOOK = 0.5
"""Seconds over which the interpreter is looked at."""
BUSY = 0.75
"""Cores that keep it busy: of Python's own work threads share one."""


class Interpreter:
    """Whether this process has so much to do that another thread of Python would only hold up the others."""

    def __init__(self) -> None:
        self._busy = False
        self._since, self._used = time.monotonic(), time.process_time()

    def busy(self) -> bool:
        """May be asked often; looks at the last half second or so."""
        if (passed := time.monotonic() - self._since) >= BUSY_LOOK:
            used = time.process_time()
            self._busy = used - self._used > BUSY * passed
            self._since, self._used = self._since + passed, used
        return self._busy
