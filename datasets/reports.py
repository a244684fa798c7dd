"""What the files at a path of a dataset say: of the copy on this node when there is one, else through their source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from django.core.cache import cache

from datasets import reading, states
from datasets.inspect.folder import inspect
from datasets.inspect.report import VERSION, Report
from datasets.models import Dataset, Round
from datasets.peek import peek
from datasets.sources.base import clean_path

ROUNDS: Final = 10
"""Newest rounds of a path that are asked whether their copy is still there."""
KEPT: Final = 24 * 3600
"""Seconds that a report of a copy is kept: what a digest names never changes."""


@dataclass(frozen=True)
class Look:
    """`report` is None when the files are too large to be looked at before they are prepared."""

    report: Report | None
    copied_at: datetime | None = None
    """When the copy was made that was looked at; None for a look through the source."""


def look(dataset: Dataset, path: str) -> Look:
    """Raises SourceError when there is no copy and `path` is not there."""
    path = clean_path(path)
    name = path.rsplit("/", 1)[-1]
    if (copied := _copy(dataset, path)) is not None:
        round_, folder = copied
        return Look(_of_tree(round_.tree, folder, path, name), round_.finished_at)
    with peek(dataset, path) as seen:
        return Look(None if seen is None else inspect(seen, name))


def _copy(dataset: Dataset, path: str) -> tuple[Round, Path] | None:
    """The newest copy of the path itself."""
    done = Round.objects.filter(dataset=dataset, path=path, state=states.DONE).exclude(tree="")
    for round_ in done.order_by("-id")[:ROUNDS]:
        if (tree := reading.tree_of(round_)) is not None:
            return round_, tree.path
    return None


def _of_tree(digest: str, folder: Path, path: str, name: str) -> Report:
    key = f"datasets.report.{VERSION}.{digest}.{name.encode().hex()[:100]}"
    stored = cache.get(key)
    if stored is not None:
        return Report.from_json(stored)
    made = inspect(folder, name)
    if made.whole:
        cache.set(key, made.to_json(), KEPT)
    return made
