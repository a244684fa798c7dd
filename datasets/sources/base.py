"""The contract of a source: a place that model files are listed, planned and read from. No Django, no database.

To add a kind: one module beside `local.py` with a subclass of `Source`, and its line in `registry.py`.
Every failure is a `SourceError`; `permanent=False` when trying again may help. Sources never retry: the round does.
Copying, hashing and storing are not a source's business (see `datasets/preheat`).
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from datasets.errors import SourceError
from datasets.specs import Entry, Plan, SourceFile

MAX_FILES = 200_000
"""A plan larger than this is a mistake in the path (somebody's home directory), not a model."""


@dataclass(frozen=True)
class Option:
    """One field of the form that makes a dataset of a kind, and one key of `Dataset.options`."""

    name: str
    label: str
    required: bool = True
    secret: bool = False
    help: str = ""


@dataclass(frozen=True)
class Page:
    """One page of a folder: folders first, then by name. `total` is None when only a full listing could tell."""

    entries: tuple[Entry, ...]
    total: int | None
    more: bool


class Source(ABC):
    """Paths are relative to the dataset, with `/`, "" being its root. The constructor does no I/O."""

    kind: ClassVar[str]
    label: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]

    @abstractmethod
    def check(self) -> str:
        """A sentence that says what was reached; raises SourceError when it cannot be."""

    @abstractmethod
    def entry(self, path: str) -> Entry:
        """What lies at `path`."""

    @abstractmethod
    def list(self, path: str, offset: int = 0, limit: int = 200) -> Page:
        """One page of a folder. What could not be copied (links that lead outside, devices) is left out."""

    @abstractmethod
    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        """Every file below `path`, or the one file that it names, sorted by path and with versions.

        A single file becomes a plan of one, under its own name. Raises SourceError for anything that must not be
        copied, naming it. Calls `beat` now and then, which may raise to stop.
        """

    @abstractmethod
    def open(self, file: SourceFile, path: str, offset: int = 0) -> BinaryIO:
        """A file of the plan of `path`, positioned `offset` bytes in. Raises SourceChanged for another version."""

    @abstractmethod
    def confirm(self, file: SourceFile, path: str) -> None:
        """Raises SourceChanged unless the file still is the version that was planned."""

    @abstractmethod
    def read(self, path: str, limit: int) -> bytes:
        """The first `limit` bytes of a file, to recognise what a folder is."""


def clean_path(path: str) -> str:
    """`path` as the contract wants it, without `.` and doubled `/`. Raises SourceError for `..`, NUL, absolute."""
    if "\0" in path:
        raise SourceError("A path cannot contain a NUL character.")
    if path.startswith("/"):
        raise SourceError("A path inside a dataset does not start with a slash.", hint="It is relative to the dataset.")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise SourceError("A path inside a dataset cannot contain '..'.")
    if not is_text(path):
        raise SourceError("A path must be valid text.")
    return "/".join(parts)


def is_text(name: str) -> bool:
    """False for names that are not UTF-8 at the source; no database or manifest could hold them."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def make_plan(kind: str, files: list[SourceFile], empty_dirs: list[str]) -> Plan:
    """A sorted plan with its fingerprint: equal for equal names, sizes and versions, whatever dataset asked."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    folders = tuple(sorted(empty_dirs))
    lines = [kind, [[file.path, file.size, file.version] for file in ordered], list(folders)]
    fingerprint = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
    return Plan(files=ordered, fingerprint=fingerprint, empty_dirs=folders)
