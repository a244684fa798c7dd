"""What the files at a path of a dataset say: of the copy on this node when there is one, else through their source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from datasets import reading, states
from datasets.inspect.folder import inspect
from datasets.inspect.report import Report
from datasets.models import Dataset, Round
from datasets.peek import peek
from datasets.sources.base import clean_path
from datasets.specs import Tree
from datasets.tree_reports import report_of

ROUNDS: Final = 10
"""Newest rounds of a path that are asked whether their copy is still there."""


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
        round_, tree = copied
        return Look(report_of(reading.store(), tree, name), round_.finished_at)
    with peek(dataset, path) as seen:
        if seen.folder is None:
            return Look(None)
        report = inspect(seen.folder, name)
        return Look(replace(report, notes=(*report.notes, seen.left_out)) if seen.left_out else report)


def _copy(dataset: Dataset, path: str) -> tuple[Round, Tree] | None:
    """The newest copy of the path itself from where the dataset points to now."""
    done = Round.objects.filter(dataset=dataset, path=path, state=states.DONE, location=dataset.location)
    for round_ in done.exclude(tree="").order_by("-id")[:ROUNDS]:
        if (tree := reading.tree_of(round_)) is not None:
            return round_, tree
    return None
