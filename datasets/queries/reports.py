"""What the files at a path of a dataset say: of the copy on this node when there is one, else through their source."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from console import files
from datasets import states, wiring
from datasets.inspect.folder import inspect
from datasets.inspect.report import VERSION, Report
from datasets.models import Dataset, Round
from datasets.preheat.store.trees import Store
from datasets.queries.peek import peek
from datasets.sources.base import clean_path
from datasets.specs import Tree

ROUNDS: Final = 10
"""Newest rounds of a path that are asked whether their copy is still there."""


@dataclass(frozen=True)
class PathReport:
    """`report` is None when the files are too large to be looked at before they are prepared."""

    report: Report | None
    copied_at: datetime | None = None
    """When the copy was made that was looked at; None for a look through the source."""


def read(dataset: Dataset, path: str) -> PathReport:
    """Raises SourceError when there is no copy and `path` is not there."""
    path = clean_path(path)
    name = path.rsplit("/", 1)[-1]
    if (copied := _copy(dataset, path)) is not None:
        job, tree = copied
        return PathReport(report_of(wiring.store(), tree, name), job.finished_at)
    with peek(dataset, path) as seen:
        if seen.folder is None:
            return PathReport(None)
        report = inspect(seen.folder, name)
        return PathReport(replace(report, notes=(*report.notes, seen.left_out)) if seen.left_out else report)


def _copy(dataset: Dataset, path: str) -> tuple[Round, Tree] | None:
    """The newest copy of the path itself from where the dataset points to now."""
    done = Round.objects.filter(dataset=dataset, path=path, state=states.DONE, location=dataset.location)
    for job in done.exclude(tree="").order_by("-id")[:ROUNDS]:
        if (tree := wiring.tree_of(job)) is not None:
            return job, tree
    return None


def report_of(store: Store, tree: Tree, name: str) -> Report:
    """The report of a tree whose folder people call `name`; never raises for bad files.

    What a digest names never changes, so a whole report is kept as long as the tree is.
    """
    kept = _report_path(store, tree.digest, name)
    try:
        return Report.from_json(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    report = inspect(tree.path, name)
    if report.whole:
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.replace(kept, json.dumps(report.to_json()).encode(), mode=0o644)
    return report


def _report_path(store: Store, digest: str, name: str) -> Path:
    called = hashlib.sha256(name.encode()).hexdigest()[:12]
    return store.root / "reports" / f"{digest}-{VERSION}-{called}.json"
