"""Puts verified contents together to a directory, each shared with every other tree that holds it. No Django."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from datasets.preheat.disk import READ_ONLY
from datasets.preheat.store.verify import sha256_of
from datasets.specs import Manifest, StoredFile

CHECKED = 1000
"""Files between two looks whether to stop."""


def build(tree: Path, manifest: Manifest, parts: Mapping[str, Path], blobs: Path, check: Callable[[], None]) -> None:
    """Makes `tree` anew of these parts (path in the tree -> file), all read-only but itself: it has yet to move."""
    remove(tree)
    tree.mkdir()
    existing: set[str] = set()
    for folder in manifest.empty_dirs:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(manifest.files, start=1):
        blob = f"{blobs}/{file.sha256[:2]}/{file.sha256}"
        _add_content(parts[file.path], file, blob, f"{tree}/{file.path}", existing)
        if number % CHECKED == 0:
            check()
    _make_read_only(tree)


def remove(tree: Path) -> None:
    """rmtree for trees with read-only folders, which somebody else may be removing too."""
    for folder, _, _ in os.walk(tree):
        with suppress(FileNotFoundError):
            Path(folder).chmod(0o755)
    shutil.rmtree(tree, onerror=_unless_gone)


def _unless_gone(_: object, __: str, raised: tuple[type[BaseException], BaseException, TracebackType]) -> None:
    if not isinstance(raised[1], FileNotFoundError):
        raise raised[1]


def _add_content(part: Path, file: StoredFile, blob: str, target: str, existing: set[str]) -> None:
    """Puts one content into the tree. `existing`: folders and contents that are there already."""
    for folder in (blob.rpartition("/")[0], target.rpartition("/")[0]):
        if folder not in existing:
            Path(folder).mkdir(parents=True, exist_ok=True)
            existing.add(folder)
    try:
        if blob not in existing:
            _keep(part, blob, file)
            existing.add(blob)
        os.link(blob, target)
    except OSError:  # a file system without hard links, too many of them, or an eviction in between
        shutil.copyfile(part, target)
        Path(target).chmod(READ_ONLY)


def _keep(part: Path, blob: str, file: StoredFile) -> None:
    try:
        os.link(part, blob)
    except FileExistsError:
        if not _is_sound(Path(blob), part, file):
            Path(blob).unlink()
            os.link(part, blob)


def _is_sound(blob: Path, part: Path, file: StoredFile) -> bool:
    """The blob is there and holds what its name says; it is read again, as it may be years old."""
    try:
        return blob.samefile(part) or (blob.stat().st_size == file.size and sha256_of(blob) == file.sha256)
    except FileNotFoundError:
        return False


def _make_read_only(tree: Path) -> None:
    for folder, _, _ in os.walk(tree, topdown=False):
        if Path(folder) != tree:
            Path(folder).chmod(0o555)
