"""Plain values that sources, preheat and the rest of the product exchange. No Django."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from datasets import leftovers

MOST_NAMED, MOST_REASONS = 3, 10
"""Paths of one reason, and reasons, that a sentence names."""


@dataclass(frozen=True)
class Entry:
    """One row of a folder listing."""

    path: Annotated[str, "Relative to the dataset."]
    is_dir: bool
    size: Annotated[int, "Bytes; 0 for folders."]
    modified: Annotated[float, "Seconds since the epoch; 0 when the source does not know."]
    problem: str = ""
    """What keeps it from being copied, as a noun phrase ("a link to x, which does not exist"); "" for most."""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def left_out(self) -> str:
        """Why it is not copied with the folder that it lies in; "" for what is."""
        return self.problem or leftovers.reason_for_name(self.name)


@dataclass(frozen=True)
class LeftOut:
    """Something that a plan does not copy. `path` is relative to the requested path; `reason` is a noun phrase."""

    path: str
    reason: str


@dataclass(frozen=True)
class SourceFile:
    """One file of a frozen plan. `path` is relative to the requested model path."""

    path: str
    size: int
    version: str
    """Whatever pins this very content at the source: mtime in nanoseconds for local files, an ETag elsewhere."""
    executable: bool = False
    ranged: bool = False
    """Whether the source can give a part of it (`open` with offset and length) as well as the whole."""
    check: str = ""
    """What the source says of the whole content, as `algorithm:hex`; "" if it says nothing. See digests.py."""


@dataclass(frozen=True)
class Plan:
    """What one round will copy, frozen before the first byte moves. `fingerprint` identifies source and versions."""

    files: tuple[SourceFile, ...]
    fingerprint: str
    empty_dirs: tuple[str, ...] = ()
    """Folders with nothing in them. An ensemble's version folder is one, and Triton wants it there."""
    origin: str = ""
    """Kind and place that the versions hold for."""
    left_out: tuple[LeftOut, ...] = ()
    """What lies there too and is not copied: nothing can read it, or no model does."""

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)


def left_out_text(left_out: Iterable[LeftOut]) -> str:
    """One sentence that names what a plan leaves out, and why; "" for nothing."""
    by_reason: dict[str, list[str]] = {}
    for item in left_out:
        by_reason.setdefault(item.reason, []).append(item.path)
    parts = [f"{_named(paths)} ({reason})" for reason, paths in [*by_reason.items()][:MOST_REASONS]]
    if (more := len(by_reason) - len(parts)) > 0:
        parts.append(f"and more, for {more} other {'reason' if more == 1 else 'reasons'}")
    return f"Left out: {', '.join(parts)}." if parts else ""


def _named(paths: list[str]) -> str:
    more = len(paths) - MOST_NAMED
    names = [path if path.isprintable() else path.encode("unicode_escape").decode() for path in paths[:MOST_NAMED]]
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class StoredFile:
    """One line of a manifest: `path` relative to the tree, `sha256` in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a published tree holds. `digest` is the SHA-256 over the sorted lines, and the tree's name in the store."""

    files: tuple[StoredFile, ...]
    digest: str
    empty_dirs: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Recognised:
    """What a folder is.

    `summary` is a sentence for people; `models` the model folders inside a repository; `problems` what would
    stop it from being served.
    """

    kind: Annotated[str, "triton_repository, triton_model, onnx, huggingface, empty or unknown."]
    summary: str
    models: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """A complete, verified copy of a model path in this node's store."""

    digest: str
    path: Path
    total_bytes: int
    file_count: int
