"""Reads files again and compares them with their digests. No Django."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from datasets.specs import Manifest, StoredFile

CHUNK = 1 << 20
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What this process lacks says nothing of a file."""


def sha256_of(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """Hex digest of a file; `check` is called for every MiB and may raise to stop. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while data := stream.read(CHUNK):
            digest.update(data)
            check()
    check()
    return digest.hexdigest()


def damaged_files(
    tree: Path, manifest: Manifest, check: Callable[[], None] = lambda: None
) -> list[tuple[StoredFile | None, str]]:
    """What is wrong with a published tree, a file and a sentence each; empty when it is what the manifest says.

    The file is None for one that does not belong there.
    """
    problems: list[tuple[StoredFile | None, str]] = []
    for file in manifest.files:
        path = tree / file.path
        try:
            if path.is_symlink() or path.stat().st_size != file.size or sha256_of(path, check) != file.sha256:
                problems.append((file, f"{file.path} is not what was copied."))
        except FileNotFoundError:
            problems.append((file, f"{file.path} is missing."))
        except OSError as error:
            if error.errno in _OURS:
                raise
            problems.append((file, f"{file.path} cannot be read: {error.strerror}."))
    expected = {file.path for file in manifest.files}
    for folder, folders, names in os.walk(tree):
        # A backend that runs as root leaves compiled Python in a tree, read-only or not; it changes nothing.
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if (extra_path := str((Path(folder) / name).relative_to(tree))) not in expected:
                problems.append((None, f"{extra_path} does not belong there."))
    return problems
