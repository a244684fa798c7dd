"""What the files of a published tree say, read once and kept beside the tree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from console.files import replace
from datasets.inspect.folder import inspect
from datasets.inspect.report import VERSION, Report
from datasets.preheat.store.trees import Store
from datasets.specs import Tree


def report_of(store: Store, tree: Tree, name: str) -> Report:
    """The report of a tree whose folder people call `name`; never raises for bad files.

    What a digest names never changes, so a whole report is kept as long as the tree is.
    """
    kept = _place(store, tree.digest, name)
    try:
        return Report.from_json(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    made = inspect(tree.path, name)
    if made.whole:
        kept.parent.mkdir(parents=True, exist_ok=True)
        replace(kept, json.dumps(made.to_json()).encode(), mode=0o644)
    return made


def _place(store: Store, digest: str, name: str) -> Path:
    called = hashlib.sha256(name.encode()).hexdigest()[:12]
    return store.root / "reports" / f"{digest}-{VERSION}-{called}.json"
