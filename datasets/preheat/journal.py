"""What a round has copied so far, on disk, so that whoever takes the round over goes on inside the very file.

    staging/<round>/lock      held (flock) by the one process that may write here
    staging/<round>/journal   one JSON line a fact, only ever appended to
    staging/<round>/parts/    one file for each file of the plan, named by its key
    staging/<round>/tree/     built at the end, renamed into place by the store

Keys name path, size and version: after a new plan everything that did not change is still known.
A line that a crash cut short is ignored, and so is all that follows it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from datasets.errors import PreheatError
from datasets.specs import SourceFile


def key_of(file: SourceFile) -> str:
    return hashlib.sha256(json.dumps([file.path, file.size, file.version]).encode()).hexdigest()[:40]


@dataclass
class Facts:
    """`done`: key -> SHA-256 of a whole file. `at`: key -> (bytes on disk, SHA-256 of them) of a file under way."""

    done: dict[str, str] = field(default_factory=dict)
    at: dict[str, tuple[int, str]] = field(default_factory=dict)


class Busy(PreheatError):
    """Another process of this machine still holds the staging directory."""


class Staging:
    """The staging directory of one round; a context manager that holds its lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.parts = directory / "parts"
        self.tree = directory / "tree"
        self.facts = Facts()
        self._journal = -1
        self._lock = -1

    def __enter__(self) -> Self:
        self.parts.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise Busy("Another worker is still busy with these files.", permanent=False) from error
        self._open_journal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._journal)
        os.close(self._lock)

    def part(self, key: str) -> Path:
        return self.parts / key

    def finished(self, key: str, sha256: str) -> None:
        """The part is complete. Not flushed: `verify` reads what is really on disk before anything is published."""
        self._append({"done": key, "sha256": sha256})
        self.facts.done[key] = sha256
        self.facts.at.pop(key, None)

    def reached(self, key: str, count: int, sha256: str) -> None:
        """The first `count` bytes of the part are on disk; the caller has flushed them."""
        self._append({"at": key, "bytes": count, "sha256": sha256})
        os.fsync(self._journal)
        self.facts.at[key] = (count, sha256)

    def forget(self, key: str) -> None:
        """The part is not what it should be: it starts over."""
        self._append({"forget": key})
        _apply(self.facts, {"forget": key})
        self.part(key).unlink(missing_ok=True)

    def keep_only(self, keys: set[str]) -> None:
        """Drops the parts of files that are no longer in the plan."""
        for part in self.parts.iterdir():
            if part.name not in keys:
                part.unlink()

    def _open_journal(self) -> None:
        path = self.directory / "journal"
        self._journal = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.facts, sound = _parse(path.read_bytes())
        os.ftruncate(self._journal, sound)

    def _append(self, line: dict[str, Any]) -> None:
        os.write(self._journal, json.dumps(line).encode() + b"\n")


def _parse(raw: bytes) -> tuple[Facts, int]:
    """The facts, and how many bytes of the journal are sound."""
    facts, sound = Facts(), 0
    for line in raw.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                break
            _apply(facts, json.loads(line))
        except (ValueError, KeyError, TypeError):
            break
        sound += len(line)
    return facts, sound


def _apply(facts: Facts, line: dict[str, Any]) -> None:
    if "done" in line:
        facts.done[line["done"]] = line["sha256"]
        facts.at.pop(line["done"], None)
    elif "at" in line:
        facts.at[line["at"]] = (int(line["bytes"]), line["sha256"])
    else:
        facts.done.pop(line["forget"], None)
        facts.at.pop(line["forget"], None)
