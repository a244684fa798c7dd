"""The files below a folder, and whether one is only a hole of its size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch

MOST_FILES: Final = 200_000


def files_below(path: Path, budget: Budget) -> list[str]:
    """Relative, and sorted within each folder."""
    paths: list[str] = []
    for folder, folders, files in os.walk(path):
        folders.sort()
        budget.step(len(files) + 1)
        paths += [Path(folder, file).relative_to(path).as_posix() for file in sorted(files)]
        if len(paths) > MOST_FILES:
            raise TooMuch(f"it has more than {MOST_FILES} files")
    return paths


def is_hole(path: Path) -> bool:
    """A file that was too large to be looked at beforehand (queries/peek.py): there with its size, and zeros."""
    with path.open("rb") as file:
        return not file.read(4096).strip(b"\0")
