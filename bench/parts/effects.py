"""How soon a change counts: from the call that makes it to the first request that meets it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.measure import Spread

PATIENCE = 60.0
EVERY = 0.01
"""Seconds between two looks."""


@dataclass
class Effects:
    delays: dict[str, list[float]] = field(default_factory=dict)
    """Kind of change -> seconds from the call to the first request that meets it."""
    called: dict[str, list[float]] = field(default_factory=dict)
    """Kind of change -> seconds that the call itself took."""

    def add(self, kind: str, seconds: float, call: float) -> None:
        self.delays.setdefault(kind, []).append(seconds)
        self.called.setdefault(kind, []).append(call)

    def to_json(self) -> dict[str, Any]:
        return {"delays": self.delays, "called": self.called}

    def table(self, where: str) -> str:
        lines = [f"| {where} | counts after, s: median (longest) | of which the call |", "|---|--:|--:|"]
        for kind, each in self.delays.items():
            spread, call = Spread.of(each), Spread.of(self.called[kind])
            lines.append(f"| {kind} | {spread.median:.2f} ({spread.high:.2f}) | {call.median:.2f} |")
        return "\n".join(lines)

    def verdict(self, where: str, limit: float) -> list[str]:
        lines = []
        for kind, each in self.delays.items():
            word = "as wanted" if max(each) <= limit else "TOO SLOW"
            lines.append(f"{where}, when {kind}: {max(each):.2f} s at most ({word}; wanted {limit:g} s).")
        return lines


def time_to(act: Callable[[], Any], met: Callable[[], bool]) -> tuple[float, float]:
    """Seconds from the start of `act` until `met`, which is asked meanwhile, and those that `act` took."""
    seconds: list[float] = []
    over = threading.Event()
    began = time.perf_counter()

    def poll() -> None:
        while not over.is_set() and time.perf_counter() - began < PATIENCE:
            if met():
                seconds.append(time.perf_counter() - began)
                return
            time.sleep(EVERY)

    watcher = threading.Thread(target=poll)
    watcher.start()
    try:
        act()
        took = time.perf_counter() - began
    except BaseException:
        over.set()
        raise
    finally:
        watcher.join()
    if not seconds:
        raise RuntimeError(f"A change did not count within {PATIENCE:g} s.")
    return seconds[0], took
