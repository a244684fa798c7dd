"""What is in an archive. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from datasets import leftovers
from datasets.errors import SourceError
from datasets.sources.base import MAX_FILES
from datasets.sources.tree import Tree, safe_name
from datasets.specs import Entry

RATIO = 1000
"""How many times its own size an archive may unpack to."""
SLACK = 1 << 20
"""Bytes that any archive may unpack to: what is tiny may be packed well."""
MAX_UNPACKED = 1 << 40
"""Bytes that any archive may unpack to at most."""
MAX_MEMBERS = 2 * MAX_FILES
"""Files, folders and links."""
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


@dataclass(frozen=True, slots=True)
class Member:
    """One file. `offset` is where it begins in the blob: its bytes, or for a zip its local header."""

    path: str
    size: int
    offset: int
    modified: float = 0.0
    executable: bool = False
    deflated: bool = False
    room: int = 0
    """For a zip: bytes from `offset` to whatever comes next."""
    packed: int = 0
    """For a zip: bytes that it takes there."""
    check: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a member cannot be read. `reason` follows "is": "encrypted", "a link to a folder"."""

    reason: str
    hint: str = "Leave it out of the archive, or choose another folder."
    needed: bool = True
    """False for what nothing could read, so that a copy leaves it out: a pipe, a link to nowhere."""


@dataclass
class Members:
    """What makes the whole archive bad raises instead of being one of `problems`."""

    files: dict[str, Member] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    problems: dict[str, Problem] = field(default_factory=dict)

    def tree(self) -> Tree:
        files = [Entry(file.path, is_dir=False, size=file.size, modified=file.modified) for file in self.files.values()]
        tree = Tree(files, self.folders)
        for path, problem in self.problems.items():
            tree.note(Entry(path, is_dir=False, size=0, modified=0.0, problem=problem.reason))
        return tree

    def require(self, path: str) -> None:
        """Raises SourceError when something below `path` that a copy would need cannot be read."""
        for name, problem in self.problems.items():
            inside = name == path or not path or name.startswith(f"{path}/")
            if inside and problem.needed and not leftovers.top(name[len(path) :].lstrip("/"))[1]:
                raise SourceError(f"{name} is {problem.reason}.", hint=problem.hint, refused="archive")


def member_name(name: str, archive: str) -> str:
    """As `safe_name`; refuses the drives of Windows too, which are no folders anywhere else."""
    if _DRIVE.match(name):
        raise SourceError(
            f"{archive} has a name that may not be: {name[:200]!r}. It begins with a drive of Windows.",
            hint="Make the archive anew, with names relative to the model's folder.",
            refused="path",
        )
    return safe_name(name, archive)


def twice(archive: str, path: str) -> SourceError:
    return SourceError(
        f"{archive} has two members with the name {path}.", hint="Make the archive anew: which one is meant?"
    )


def too_much(name: str) -> SourceError:
    return SourceError(
        f"{name} unpacks to more than {RATIO} times its size, or more than {MAX_UNPACKED >> 40} TiB.",
        hint="Is it a model? Such archives are made to fill disks.",
        refused="archive",
    )


class NotAnArchive(SourceError):
    def __init__(self, name: str, kind: str) -> None:
        super().__init__(f"{name} is not a {kind} archive that can be read, or it is damaged.")
