"""Reads files again and compares them with their digests. No Django."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from datasets.preheat.journal import Staging, key_of
from datasets.specs import Manifest, Plan, StoredFile

CHUNK = 1 << 20


def sha256_of(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """Hex digest of a file; `check` is called for every MiB and may raise to stop. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while data := stream.read(CHUNK):
            digest.update(data)
            check()
    check()
    return digest.hexdigest()


def damaged_parts(
    plan: Plan, stored: tuple[StoredFile, ...], staging: Staging, check: Callable[[], None] = lambda: None
) -> list[str]:
    """Keys of the copied parts that do not read back as what came from the source."""
    keys = [key_of(file) for file in plan.files]
    return [key for key, file in zip(keys, stored, strict=True)
            if sha256_of(staging.part(key), check) != file.sha256]


def verify_tree(tree: Path, manifest: Manifest, check: Callable[[], None] = lambda: None) -> list[str]:
    """What is wrong with a published tree, one sentence a file; empty when it is what the manifest says."""
    problems = []
    for file in manifest.files:
        path = tree / file.path
        try:
            if path.is_symlink() or path.stat().st_size != file.size or sha256_of(path, check) != file.sha256:
                problems.append(f"{file.path} is not what was copied.")
        except FileNotFoundError:
            problems.append(f"{file.path} is missing.")
        except OSError as error:
            problems.append(f"{file.path} cannot be read: {error.strerror}.")
    known = {file.path for file in manifest.files}
    for folder, folders, names in os.walk(tree):
        # A backend that runs as root leaves compiled Python in a tree, read-only or not; it changes nothing.
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if (found := str((Path(folder) / name).relative_to(tree))) not in known:
                problems.append(f"{found} does not belong there.")
    return problems
