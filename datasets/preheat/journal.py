"""What a round has copied so far, on disk, so that whoever takes the round over goes on inside the very file.

    staging/<round>/lock      held (flock) by the one process that may write here
    staging/<round>/journal   one JSON line a fact, only ever appended to
    staging/<round>/origin    the place that all of it came from
    staging/<round>/parts/    one file for each file of the plan, named by its key
    staging/<round>/tree/     built at the end, renamed into place by the store

Keys name path, size and version: after a new plan everything that did not change is still known.
A line that a crash cut short is ignored, and so is all that follows it.

Facts are not flushed one by one: what a killed process wrote, the kernel still has. When the machine itself went down
(the boot id is another one) only what lies before the last completed flush counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from console.files import replace, take_lock
from datasets.errors import PreheatError
from datasets.preheat.disk import boot_id, flush
from datasets.specs import SourceFile


def key_of(file: SourceFile) -> str:
    # A NUL is in no path, so no two files have the same text. (JSON would take ten times as long, for each of 100,000.)
    return hashlib.sha256(f"{file.path}\0{file.size}\0{file.version}".encode()).hexdigest()[:40]


@dataclass
class Facts:
    """`done`: key -> SHA-256 of a whole file. `pieces`: key -> {number of a piece that is on disk: its XXH3}.

    `partly`: key -> {number of a piece of which only the front is: how many bytes, and their XXH3}.
    """

    done: dict[str, str] = field(default_factory=dict)
    pieces: dict[str, dict[int, str]] = field(default_factory=dict)
    partly: dict[str, dict[int, tuple[int, str]]] = field(default_factory=dict)


class Busy(PreheatError):
    """Another process of this machine still holds the staging directory."""


class Staging:
    """The staging directory of one round; a context manager that holds its lock. Threads may call its methods."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.parts = directory / "parts"
        self.tree = directory / "tree"
        self._prefix = f"{self.parts}/"
        self.facts = Facts()
        self._journal = -1
        self._lock = -1
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        self.parts.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not take_lock(self._lock):
            os.close(self._lock)
            raise Busy("Another worker is still busy with these files.", permanent=False)
        try:
            self._open_journal()
        except BaseException:
            os.close(self._lock)  # who cannot read it must not hold it
            if self._journal >= 0:
                os.close(self._journal)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._journal)
        os.close(self._lock)

    def part(self, key: str) -> Path:
        return Path(self.part_name(key))

    def part_name(self, key: str) -> str:
        return f"{self._prefix}{key}"

    def finished(self, key: str, sha256: str) -> None:
        """The part is complete, and has this digest."""
        self._note({"done": key, "sha256": sha256})

    def reached(self, key: str, number: int, xxh3: str) -> None:
        """A piece of the part was written."""
        self._note({"piece": key, "n": number, "xxh3": xxh3})

    def partly(self, key: str, number: int, count: int, xxh3: str) -> None:
        """Note that `count` bytes of a piece were written before the attempt ended."""
        self._note({"partly": key, "n": number, "bytes": count, "xxh3": xxh3})

    def forget(self, key: str, number: int | None = None) -> None:
        """The part, or one piece of it, is not what it should be: it starts over."""
        if number is None:
            self._note({"forget": key})
            self.part(key).unlink(missing_ok=True)
        else:
            self._note({"forget": key, "n": number})

    def flush(self) -> None:
        """Brings all that was noted until now onto the disk; it counts even if the machine goes down."""
        self._note({"flush": "begun"})
        flush(self.directory)
        self._note({"flush": "done"})
        os.fdatasync(self._journal)

    def begin(self, origin: str) -> None:
        """Forgets everything that came from another place than `origin`: its names and versions hold for there only."""
        noted = self.directory / "origin"
        before = noted.read_text(encoding="utf-8") if noted.exists() else origin
        if before != origin:
            for key in {*self.facts.done, *self.facts.pieces, *self.facts.partly}:
                self.forget(key)
            self.keep_only(set())
        if before != origin or not noted.exists():
            replace(noted, origin.encode(), mode=0o600)

    def keep_only(self, keys: set[str]) -> None:
        """Drops the parts of files that are no longer in the plan."""
        for part in self.parts.iterdir():
            if part.name not in keys:
                part.unlink()

    def _open_journal(self) -> None:
        path = self.directory / "journal"
        self._journal = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        lines, sound = _sound_lines(path.read_bytes())
        os.ftruncate(self._journal, sound)
        now = boot_id()
        counting = _counting(lines, now)
        for line in counting:
            _apply(self.facts, line)
        if not lines or _last_boot(lines) != now:
            # Facts of an earlier boot that do not count must not count for the next reader either.
            if len(counting) != len(lines):
                self._rewrite(counting)
            self._note({"boot": now})

    def _rewrite(self, lines: list[dict[str, Any]]) -> None:
        os.ftruncate(self._journal, 0)
        for line in [*lines, {"flush": "begun"}, {"flush": "done"}]:
            os.write(self._journal, _encoded(line))

    def _note(self, line: dict[str, Any]) -> None:
        with self._writing:
            os.write(self._journal, _encoded(line))
            _apply(self.facts, line)


def read_facts(path: Path) -> Facts:
    """The facts of a journal that somebody else may be writing."""
    facts = Facts()
    with suppress(OSError):
        for line in _sound_lines(path.read_bytes())[0]:
            _apply(facts, line)
    return facts


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"


def _sound_lines(raw: bytes) -> tuple[list[dict[str, Any]], int]:
    """The lines that can be read, and how many bytes they are."""
    lines: list[dict[str, Any]] = []
    sound = 0
    for raw_line in raw.splitlines(keepends=True):
        try:
            if not raw_line.endswith(b"\n"):
                break
            line = json.loads(raw_line)
            _apply(Facts(), line)
        except (ValueError, KeyError, TypeError):
            break
        lines.append(line)
        sound += len(raw_line)
    return lines, sound


def _last_boot(lines: list[dict[str, Any]]) -> str:
    return next((str(line["boot"]) for line in reversed(lines) if "boot" in line), "")


def _counting(lines: list[dict[str, Any]], now: str) -> list[dict[str, Any]]:
    """Lines written since this boot, or before a flush that was completed."""
    if _last_boot(lines) == now:
        return lines
    kept = begun = 0
    for number, line in enumerate(lines):
        if line.get("flush") == "begun":
            begun = number
        elif line.get("flush") == "done":
            kept = begun
    return lines[:kept]


def _apply(facts: Facts, line: dict[str, Any]) -> None:
    if "done" in line:
        facts.done[line["done"]] = line["sha256"]
        facts.pieces.pop(line["done"], None)
        facts.partly.pop(line["done"], None)
    elif "piece" in line:
        facts.pieces.setdefault(line["piece"], {})[int(line["n"])] = line["xxh3"]
        facts.partly.get(line["piece"], {}).pop(int(line["n"]), None)
    elif "partly" in line:
        facts.partly.setdefault(line["partly"], {})[int(line["n"])] = int(line["bytes"]), line["xxh3"]
    elif "forget" in line:
        if "n" in line:
            facts.pieces.get(line["forget"], {}).pop(int(line["n"]), None)
            facts.partly.get(line["forget"], {}).pop(int(line["n"]), None)
        else:
            facts.done.pop(line["forget"], None)
            facts.pieces.pop(line["forget"], None)
            facts.partly.pop(line["forget"], None)
    elif "boot" not in line and "flush" not in line:
        raise ValueError(f"no such fact: {line}")
