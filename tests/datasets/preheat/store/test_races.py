"""Trees that appear, are given out, are marked and go at the same time, in several threads and processes."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import PreheatError
from datasets.preheat.disk import exchange
from datasets.preheat.store import building, upkeep
from datasets.preheat.store.trees import Store
from datasets.sources.base import Site
from datasets.sources.local.source import LocalSource
from datasets.specs import Tree
from tests.datasets.preheat.store.publishing import publish, rot

GRACE = 0.2
"""Seconds for which a tree stays that was given out."""
CLOCK = 0.02
"""Seconds by which a file's time may be behind."""
LASTS = 3.0
"""Seconds of the race between processes."""


def once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, first: Callable[[], object]) -> None:
    """Has something happen just before the first call of a function."""
    original, left = getattr(owner, name), [first]

    def wrapped(*args: Any, **options: Any) -> Any:
        if left:
            left.pop()()
        return original(*args, **options)

    monkeypatch.setattr(owner, name, wrapped)


def grow_old(tree: Tree) -> None:
    os.utime(tree.path, (1, 1))


def evict(store: Store) -> list[str]:
    return upkeep.evict(store, set(), not_used_since=time.time() - 60)


def test_a_tree_that_is_found_while_its_eviction_begins_stays(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = publish(source, store, "svm")
    grow_old(tree)
    once(monkeypatch, Store, "manifest", lambda: store.find(source.plan("svm").fingerprint))
    assert evict(store) == []
    assert store.get(tree.digest) == tree


def test_room_is_not_made_of_a_tree_that_was_found_since_the_store_was_looked_at(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = publish(source, store, "svm")
    grow_old(tree)
    once(monkeypatch, upkeep, "_drop", lambda: store.find(source.plan("svm").fingerprint))
    assert upkeep.make_room(store, set(), 1, grace=60, now=time.time()) == []
    assert store.get(tree.digest) == tree


def test_a_tree_that_goes_while_it_is_looked_at_is_not_given_out(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = publish(source, store, "svm")
    grow_old(tree)
    once(monkeypatch, Store, "_asked_for", lambda: evict(store))
    assert store.find(source.plan("svm").fingerprint) is None


def test_who_looks_for_a_tree_waits_while_it_goes(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = publish(source, store, "svm")
    grow_old(tree)
    results: list[Tree | None] = []
    finder = threading.Thread(target=lambda: results.append(store.find(source.plan("svm").fingerprint)))

    def start() -> None:
        finder.start()
        finder.join(0.3)
        assert results == []

    once(monkeypatch, Store, "retire", start)
    assert evict(store) == [tree.digest]
    finder.join(10)
    assert results == [None]


@pytest.mark.parametrize("step", ["_asked_for", "_reveal", "_prepared"])
def test_a_publication_does_not_fail_because_the_same_tree_goes_meanwhile(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    tree = publish(source, store, "svm")
    grow_old(tree)
    if step != "_asked_for":
        store.mark_damaged(tree.digest, ["It is."])
    gone: list[str] = []
    once(monkeypatch, Store, step, lambda: gone.extend(evict(store)))
    assert publish(source, store, "svm", "2") == tree
    assert gone == [tree.digest]
    assert store.find(source.plan("svm").fingerprint) == tree
    assert upkeep.verify(store, tree.digest) == []


def test_who_clears_the_trash_of_another_does_not_disturb_it(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = publish(source, store, "svm")
    grow_old(tree)
    once(monkeypatch, building.shutil, "rmtree", lambda: upkeep.clear(store, 0))
    assert evict(store) == [tree.digest]
    assert list((store.root / "trash").iterdir()) == []


def test_a_tree_that_took_the_place_of_the_one_that_was_read_is_not_taken_for_damaged(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = publish(source, store, "svm")
    rot(tree)
    store.discard_staging("1")

    def heal() -> None:
        store.mark_damaged(tree.digest, ["It is."])
        publish(source, store, "svm", "2")

    once(monkeypatch, upkeep, "_holders", heal)
    assert upkeep.condemn(store, tree.digest) == []
    assert store.get(tree.digest) == tree
    assert upkeep.verify(store, tree.digest) == []


def test_a_tree_that_is_published_while_others_are_flushed_stays_unflushed(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = publish(source, store, "svm")

    def again() -> None:
        grow_old(tree)
        evict(store)
        publish(source, store, "svm", "2")

    once(monkeypatch, upkeep, "_flushed", again)
    assert upkeep.settle(store) == []
    assert [mark.name for mark in store.children("unflushed")] == [tree.digest]
    assert upkeep.settle(store) == []
    assert list(store.children("unflushed")) == []


def test_a_mark_of_a_tree_that_never_appeared_is_forgotten(source: LocalSource, store: Store) -> None:
    publish(source, store, "svm")
    (store.root / "unflushed" / ("0" * 64)).write_text("another boot")
    upkeep.settle_doubtful(store)
    assert not store.doubtful("0" * 64)
    assert list(store.children("damaged")) == []


# The processes of the race. Each ends by itself, and says how often it did what it does.


def publishes(root: Path, files: Path, name: str, replaces: bool) -> int:
    """Every other time it finds the tree that is there damaged, and puts another one in its place."""
    source, store, times = LocalSource({"path": str(files)}, Site(roots=(files,))), Store(root), 0
    ends = time.time() + LASTS
    while time.time() < ends:
        await_eviction(store)
        if replaces and times % 2:
            with store.lock():
                for tree in store.children("trees"):
                    store.mark_damaged(tree.name, ["It is."])
        started_at = time.time()
        try:
            times += stays(publish(source, store, "svm", name), started_at)
        except PreheatError:  # it may go again when publishing took that long
            assert time.time() - started_at > GRACE - CLOCK
        store.discard_staging(name)
    return times


def finds(root: Path, fingerprint: str) -> int:
    store, times = Store(root), 0
    ends = time.time() + LASTS
    while time.time() < ends:
        await_eviction(store)
        started_at = time.time()
        if (tree := store.find(fingerprint)) is not None:
            times += stays(tree, started_at)
    return times


def evicts(root: Path) -> int:
    store, times = Store(root), 0
    ends = time.time() + LASTS
    while time.time() < ends:
        times += len(upkeep.evict(store, set(), not_used_since=time.time() - GRACE))
        times += len(upkeep.make_room(store, set(), 1, grace=GRACE, now=time.time()))
    return times


def await_eviction(store: Store) -> None:
    """Until about the moment at which the tree that is there may go."""
    try:
        asked_for = max(tree.stat().st_mtime for tree in store.children("trees"))
    except (FileNotFoundError, ValueError):
        asked_for = time.time() - GRACE
    time.sleep(max(0, asked_for + GRACE - time.time() + random.uniform(-0.002, 0.01)))


def stays(tree: Tree, started_at: float) -> int:
    """Looks at a tree that was just given out: nothing of it may be missing until the grace is over."""
    while time.time() - started_at < GRACE / 2:
        try:
            assert (tree.path / "1" / "weights.bin").stat().st_size == 256_000
            assert (tree.path / "config.pbtxt").is_file()
        except (FileNotFoundError, AssertionError):
            assert time.time() - started_at > GRACE - CLOCK, "It went too early."
        time.sleep(0.005)
    return 1


@pytest.mark.slow
def test_between_processes_no_tree_that_was_given_out_goes_and_no_publication_fails(
    source: LocalSource, store: Store, files: Path
) -> None:
    names = [store.root / "one", store.root / "other"]
    for name in names:
        name.mkdir()
    replaces = exchange(*names)  # where names cannot be exchanged there is none for a moment
    fingerprint = source.plan("svm").fingerprint
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as pool:
        publishers = [pool.submit(publishes, store.root, files, str(number), replaces) for number in range(2)]
        finders = [pool.submit(finds, store.root, fingerprint) for _ in range(2)]
        evictors = [pool.submit(evicts, store.root) for _ in range(2)]
        counted = [sum(each.result(60) for each in kind) for kind in (publishers, finders, evictors)]
    assert all(counted), counted
