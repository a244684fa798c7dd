"""The contract of a source: a place that model files are listed, planned and read from. No Django, no database.

To add a kind: a folder beside `local/` whose `source.py` has a subclass of `Source`, and its line in `registry.py`.
Every failure is a `SourceError`; `permanent=False` when trying again may help. Sources never retry: the round does.
Copying, hashing and storing are not a source's business (see `datasets/preheat`).
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any, ClassVar

from datasets.errors import SourceError
from datasets.specs import Entry, LeftOut, Plan, SourceFile, left_out_text

MAX_FILES = 200_000
"""A plan larger than this is a mistake in the path (somebody's home directory), not a model."""


@dataclass(frozen=True)
class Site:
    """What an administrator of this installation allows sources to reach. Everything else is refused."""

    roots: tuple[Path, ...] = ()
    """Directories of this machine that `local` and `nfs` may read."""
    endpoints: tuple[str, ...] = ()
    """Servers that the others may connect to, as net/allowlist.py spells them."""
    spool: Path | None = None
    """A directory of this node for archives that are unpacked to be read; None: a temporary file each time."""
    mounts: Path | None = None
    """Where `nfs` may mount exports."""


@dataclass(frozen=True)
class Option:
    """One field of the form that makes a dataset of a kind.

    Its value is text in `Dataset.options`; that of a `secret` one in `Dataset.credentials`, encrypted.
    """

    name: str
    label: str
    required: bool = True
    secret: bool = False
    help: str = ""
    choices: tuple[tuple[str, str], ...] = field(default=())
    """(value, label) pairs when only these values are good; the first one is the default."""
    lines: bool = False
    """Text of several lines."""
    exact: bool = False
    """Blanks at the ends of its value count: it names a folder, and folders may have them."""
    keeps_credentials: bool = False
    """Stored credentials stay when this changes, as it cannot lead them to another server or into other hands.

    When any other option changes they must be entered again: else whoever may edit a dataset could have the console
    send a teammate's key to a server of their own.
    """


Body = RawIOBase
"""Bytes of a file, read once from the front by `read` and `readinto`, which raise SourceError.

Another thread may call `close` while one waits in `readinto`: that one ends soon, with an error.
"""


@dataclass(frozen=True)
class PendingFile:
    """A whole file that was asked for. Either `body` is called, once, and does what `open` does, or `close` is."""

    body: Callable[[], Body]
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Page:
    """One page of a folder. `total` is None when only a full listing could tell.

    Folders first, then by name, where the whole folder is known; else in the server's order.
    """

    entries: tuple[Entry, ...]
    total: int | None
    next: str
    """What to ask the next page with: `list(path, after=next)`. "" on the last one. Only the source can read it."""


def beginning(body: Body, limit: int) -> bytes:
    """Its first `limit` bytes."""
    content = bytearray()
    while len(content) < limit and (part := body.read(min(limit - len(content), 256 << 10))):
        content += part
    return bytes(content)


class Source(ABC):
    """Paths are relative to the dataset, with `/`, "" being its root. The constructor does no I/O.

    One object serves many threads at once: a round reads several files, and several parts of one, side by side.
    """

    kind: ClassVar[str]
    label: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    streams: ClassVar[int] = 8
    """How many bodies a round reads at once."""
    ahead: ClassVar[int] = 1
    """How many small files a round asks for before it reads the first: more than one where `begin` does not wait for
    the answer."""
    connects: ClassVar[bool] = True
    """Whether `check` reaches out to other machines; then it is counted how often somebody asks for it."""
    directories: ClassVar[bool] = False
    """Whether it reads directories of this machine, which `Site.roots` bounds."""

    @abstractmethod
    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        """`options` has the secret ones too, in plain text."""

    @abstractmethod
    def check(self) -> str:
        """A sentence that says what was reached; raises SourceError when it cannot be."""

    @abstractmethod
    def entry(self, path: str) -> Entry:
        """What lies at `path`."""

    @abstractmethod
    def list(self, path: str, after: str = "", limit: int = 200) -> Page:
        """One page of a folder, at most `limit` entries, also of a folder with millions of them.

        What is not copied with the folder, or could not be (a link that leads outside, a device), says so in
        `Entry.problem`, or by its name (leftovers.py).
        """

    @abstractmethod
    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        """Every file below `path`, or the one file that it names, sorted by path and with versions.

        A single file becomes a plan of one, under its own name. What nothing can read (a link to nowhere, a pipe) and
        what no model reads (leftovers.py) is left out and named in the plan. Raises SourceError for what the model may
        need and must not be copied, or cannot be, naming it. Calls `beat` now and then, which may raise to stop.
        """

    @abstractmethod
    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        """A file of the plan of `path`, from `offset` on, `length` bytes of it or all that is left.

        `offset` and `length` are given for `ranged` files only. Raises SourceChanged for another version. Where the
        server says what the bytes of an answer should be (a checksum, an MD5), the body raises SourceDamaged at
        its end when they are not.
        """

    def begin(self, file: SourceFile, path: str) -> PendingFile:
        """Request a whole file. The answer is awaited when its body is read, if the source can. Raises as `open`."""
        return PendingFile(lambda: self.open(file, path))

    def confirm(self, file: SourceFile, path: str) -> None:  # noqa: B027 - not abstract: most need not do anything
        """Raises SourceChanged unless the file still is the version that was planned.

        For sources whose `open` cannot pin a version while it is read.
        """

    def abort(self) -> None:  # noqa: B027 - not abstract: most never wait long
        """Called by another thread when a round stops: `open` that waits for a server ends soon, with an error."""

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


def too_many_files(most: int, hint: str = "Choose the folder of one model.") -> SourceError:
    return SourceError(f"There are more than {most} files here.", hint=hint, refused="endless")


def make_plan(
    kind: str, files: list[SourceFile], empty_dirs: list[str], *, origin: str = "", left_out: Iterable[LeftOut] = ()
) -> Plan:
    """A sorted plan with its fingerprint: equal for equal names, sizes and versions, whatever dataset asked.

    `origin` names the server and place that the versions hold for (an ETag of one server says nothing of another's).
    """
    ordered = tuple(sorted(files, key=lambda file: file.path))
    folders = tuple(sorted(empty_dirs))
    versions = [[file.path, file.size, file.version] for file in ordered]
    lines = [kind, *([origin] if origin else []), versions, list(folders)]
    fingerprint = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
    return Plan(
        files=ordered,
        fingerprint=fingerprint,
        empty_dirs=folders,
        origin=f"{kind} {origin}",
        left_out=tuple(sorted(left_out, key=lambda item: item.path)),
    )


def nothing_in(path: str, left_out: Iterable[LeftOut]) -> SourceError:
    """For a plan without files."""
    return SourceError(f"There are no files in {path or 'this dataset'}.", hint=left_out_text(left_out))
