"""The files of a round one by one, for pages: what is planned, what is there, what is moving. No Django.

    staging/<round>/plan.json     every file of the plan: path, size, key
    staging/<round>/moving.json   those under way: path, bytes done, bytes a second

Written by the worker that copies, read by whoever looks. What is there says the journal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from console.files import replace
from datasets.preheat.copying.copy import Progress
from datasets.preheat.copying.speed import Speed
from datasets.preheat.journal import key_of, read_facts
from datasets.specs import Manifest, Plan

EVERY = 0.5
"""Seconds between two writes."""
WAITING, MOVING, THERE = "waiting", "moving", "there"


@dataclass(frozen=True)
class FileRow:
    path: Annotated[str, "Relative to the round's path."]
    size: Annotated[int, "Bytes."]
    bytes_done: int
    state: Annotated[str, "waiting, moving or there."]
    bytes_per_second: Annotated[float, "0 unless it moves."] = 0.0
    sha256: Annotated[str, "Once it is there."] = ""

    @property
    def percent(self) -> int:
        if self.state == THERE:
            return 100
        return min(99, 100 * self.bytes_done // self.size) if self.size else 0


class ProgressFiles:
    """Keeps the two files of a round under way."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self._directory = directory
        self._speeds: dict[str, Speed] = {}
        self._written = 0.0
        replace(directory / "plan.json", json.dumps([[f.path, f.size, key_of(f)] for f in plan.files]).encode())

    def note(self, seen: Progress) -> None:
        now = time.monotonic()
        if now - self._written < EVERY:
            return
        self._written = now
        self._speeds = {one.path: self._speeds.get(one.path) or Speed() for one in seen.moving}
        rows = [[one.path, one.bytes_done, self._speeds[one.path].reading(one.bytes_done)] for one in seen.moving]
        replace(self._directory / "moving.json", json.dumps(rows).encode())


def rows_under_way(directory: Path) -> list[FileRow]:
    """The files of a round that is not over, those that move first, then as planned. [] before there is a plan."""
    planned, facts = _read(directory / "plan.json"), read_facts(directory / "journal")
    moving = {path: (done, speed) for path, done, speed in _read(directory / "moving.json")}
    return sorted(_rows(planned, moving, facts.done), key=lambda row: row.state != MOVING)


def _rows(planned: list[Any], moving: dict[str, tuple[int, float]], done: dict[str, str]) -> Iterator[FileRow]:
    for path, size, key in planned:
        if key in done:
            yield FileRow(path, size, size, THERE, sha256=done[key])
        elif path in moving:
            yield FileRow(path, size, moving[path][0], MOVING, moving[path][1])
        else:
            yield FileRow(path, size, 0, WAITING)


def rows_of(manifest: Manifest) -> list[FileRow]:
    return [FileRow(file.path, file.size, file.size, THERE, sha256=file.sha256) for file in manifest.files]


def _read(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return rows if isinstance(rows, list) else []
