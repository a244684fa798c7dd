"""Processes that end in the middle of a publication: what they leave is whole, and the next one makes it good."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from datasets.preheat.store import trees as module
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import Store
from datasets.sources.local.source import LocalSource
from tests.datasets.preheat.store.publishing import publish, rot, visible


class Crash(BaseException):
    """Stands for the end of the process: nothing but `finally` runs."""


def crash_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    original, left = getattr(owner, name), [call]

    def wrapped(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Crash
        return original(*args, **options)

    monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.parametrize(
    ("owner", "name", "call", "appears"),
    [
        (os, "link", 1, False),
        (os, "link", 2, False),
        (os, "link", 5, False),
        (Path, "chmod", 1, False),
        (Path, "chmod", 2, True),
        (os, "fsync", 1, False),
        (Path, "replace", 2, False),
        (Path, "replace", 3, False),
        (Path, "replace", 4, False),
        (Path, "replace", 5, False),
        (Path, "rename", 1, False),
        (os, "utime", 1, True),
        ("store", "flush_folder", 1, True),
        (Path, "replace", 6, True),
        (Path, "replace", 7, True),
    ],
)
def test_a_crash_at_any_step_leaves_a_whole_tree_or_none_and_is_made_good_by_the_next(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, appears: bool
) -> None:
    with monkeypatch.context() as patched:
        crash_at(patched, module if owner == "store" else owner, name, call)
        with pytest.raises(Crash):
            publish(source, store, "svm")
    assert len(visible(store)) == appears
    for digest in visible(store):
        assert upkeep.verify(store, digest) == []
    tree = publish(source, store, "svm")
    assert upkeep.verify(store, tree.digest) == []
    assert store.find(source.plan("svm").fingerprint) == tree


STEPS: list[tuple[Any, str]] = [
    (Path, "chmod"),
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "replace"),
    (Path, "unlink"),
    (os, "fsync"),
    (os, "link"),
    (os, "utime"),
    (module, "exchange"),
    (module, "flush_folder"),
    (module, "remove"),
]
"""What a publication does to the disk."""


def crash_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    left = [steps]

    def counted(original: Any) -> Any:
        def wrapped(*args: Any, **options: Any) -> Any:
            if not left[0]:
                raise Crash
            left[0] -= 1
            return original(*args, **options)

        return wrapped

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("at_once", [True, False], ids=["names are exchanged", "names cannot be exchanged"])
def test_a_crash_at_any_step_of_replacing_a_damaged_tree_leaves_the_old_or_the_new_one(
    source: LocalSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr(module, "exchange", lambda *_: False)
    missing = crashes = 0
    for steps in itertools.count():
        store = Store(tmp_path / "stores" / str(steps))
        store.make()
        old = publish(source, store, "svm")
        store.discard_staging("1")
        rot(old)
        assert upkeep.condemn(store, old.digest) != []
        with monkeypatch.context() as patched:
            crash_after(patched, steps)
            try:
                publish(source, store, "svm", "2")
            except Crash:
                crashes += 1
            else:
                break
        is_visible = visible(store) == [old.digest]
        missing += not is_visible
        assert not is_visible or sorted(file.name for file in old.path.rglob("*.*")) == [
            "config.pbtxt",
            "model.py",
            "weights.bin",
        ]
        if store.get(old.digest) is not None:  # never the damaged one
            assert upkeep.verify(store, old.digest) == []
        assert publish(source, store, "svm", "2") == store.find(source.plan("svm").fingerprint) == old
        assert upkeep.verify(store, old.digest) == []
    assert crashes > 30
    assert missing == (0 if at_once else 1)
