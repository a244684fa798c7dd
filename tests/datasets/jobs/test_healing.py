"""A disk that damages files, and a machine that goes down: found, never served, and made good from the source."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from datasets import states, wiring
from datasets.jobs import healing, housekeeping
from datasets.models import Dataset, Round
from datasets.preheat import disk
from datasets.preheat.store import trees, upkeep
from datasets.preheat.store.trees import Store
from tests.datasets.worker import Worker

pytestmark = pytest.mark.django_db


def damage(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(b"damage")


def another_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (trees, disk):
        monkeypatch.setattr(module, "boot_id", lambda: "another boot")


def test_a_damaged_file_is_found_and_only_it_is_copied_again(worker: Worker, store: Store) -> None:
    done = worker.preheat()
    tree = wiring.tree_of(done)
    assert tree is not None
    damage(tree.path / "1" / "model.py")
    assert healing.reverify() == done.tree
    assert "1/model.py is not what was copied." in store.damage(done.tree)
    assert wiring.tree_of(done) is None
    healed = Round.objects.latest("id")
    assert (healed.requested_by, healed.state) == ("console", states.PENDING)
    healed = worker.run(healed)
    assert (healed.state, healed.tree, healed.bytes_copied) == (states.DONE, done.tree, 15)
    assert upkeep.verify(store, done.tree) == []
    assert wiring.tree_of(done) is not None


def test_the_tree_that_was_read_longest_ago_is_read_next(worker: Worker) -> None:
    one, two = worker.preheat(), worker.preheat("README.txt")
    seen = [healing.reverify() for _ in range(4)]
    assert sorted(seen[:2], key=str) == sorted([one.tree, two.tree])
    assert seen[2:] == seen[:2]


def test_one_at_a_time_is_read_and_what_is_asked_for_is_not_forgotten(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [worker.preheat(path).tree for path in ("svm", "README.txt", "svm/1")]
    read: list[str] = []
    monkeypatch.setattr(healing, "read_again", read.append)
    for digest in digests:
        upkeep.ask_to_verify(store, digest)
    with upkeep.only_reader(store) as mine:
        assert mine
        healing.verify_asked()  # as another worker of this node would
        assert read == [] and set(upkeep.to_verify(store)) == set(digests)
    healing.verify_asked()
    assert set(read) == set(digests) and upkeep.to_verify(store) == []


def test_a_tree_that_cannot_be_read_does_not_keep_the_others_from_it(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (worker.preheat(path).tree for path in ("svm", "README.txt"))
    read: list[str] = []

    def fail_on_first(digest: str) -> None:
        read.append(digest)
        if digest == first:
            raise OSError(24, "Too many open files")

    monkeypatch.setattr(healing, "read_again", fail_on_first)
    for age, digest in ((2, first), (1, second)):
        upkeep.ask_to_verify(store, digest)
        os.utime(store.root / "to-verify" / digest, (time.time() - age,) * 2)
    with pytest.raises(OSError, match="Too many open files"):
        healing.verify_asked()
    with pytest.raises(OSError, match="Too many open files"):
        healing.verify_asked()
    assert read == [first, second, first] and upkeep.to_verify(store) == [first]


def test_an_empty_store_has_nothing_to_read_again(dataset: Dataset) -> None:
    assert healing.reverify() is None


def test_a_published_tree_is_on_the_disk_when_its_round_is_over(worker: Worker, store: Store) -> None:
    worker.preheat()
    assert list(store.children("unflushed")) == []


def test_a_tree_that_the_machine_went_down_with_is_read_before_it_counts(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "settle", lambda: None)
    done = worker.preheat()
    assert wiring.tree_of(done) is not None
    another_boot(monkeypatch)
    assert wiring.tree_of(done) is None
    again = worker.preheat()
    assert (again.tree, again.bytes_copied) == (done.tree, 0)
    assert wiring.tree_of(done) is not None


def test_a_tree_that_the_machine_damaged_as_it_went_down_is_copied_again(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "settle", lambda: None)
    done = worker.preheat()
    tree = wiring.tree_of(done)
    assert tree is not None
    damage(tree.path / "1" / "weights.bin")
    another_boot(monkeypatch)
    again = worker.preheat()
    assert (again.state, again.tree, again.bytes_copied) == (states.DONE, done.tree, 256_000)
    assert upkeep.verify(store, done.tree) == []
    assert upkeep.settle(store) == []
    assert list(store.children("unflushed")) == []
