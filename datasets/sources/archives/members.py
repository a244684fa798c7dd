"""What is in an archive. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from datasets.errors import SourceError
from datasets.sources.base import MAX_FILES
from datasets.sources.tree import Tree
from datasets.specs import Entry

RATIO = 1000
"""How many times its own size an archive may unpack to."""
SLACK = 1 << 20
"""Bytes that any archive may unpack to: what is tiny may be packed well."""
MAX_UNPACKED = 1 << 40
"""Bytes that any archive may unpack to at most."""
MAX_MEMBERS = 2 * MAX_FILES
"""Files, folders and links."""


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


@dataclass
class Members:
    """`problems` says why a member cannot be copied: what makes the whole archive bad raises instead."""

    files: dict[str, Member] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)

    def tree(self) -> Tree:
        return Tree(
            (Entry(file.path, is_dir=False, size=file.size, modified=file.modified) for file in self.files.values()),
            self.folders,
        )

    def require(self, path: str) -> None:
        """Raises SourceError when something below `path` cannot be copied."""
        for name, reason in self.problems.items():
            if not path or name == path or name.startswith(f"{path}/"):
                raise SourceError(
                    f"{name} {reason}", hint="Leave it out of the archive, or choose another folder.",
                    refused="archive",
                )  # fmt: skip


def too_much(name: str) -> SourceError:
    return SourceError(
        f"{name} unpacks to more than {RATIO} times its size, or more than {MAX_UNPACKED >> 40} TiB.",
        hint="Is it a model? Such archives are made to fill disks.", refused="archive",
    )


def not_an_archive(name: str, kind: str) -> SourceError:
    return SourceError(f"{name} is not a {kind} archive that can be read, or it is damaged.")
