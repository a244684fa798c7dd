"""The store: one tree at once or none, every content once, and nothing that others can change."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import time
from pathlib import Path

import pytest

from datasets.errors import Cancelled
from datasets.preheat.store import building, upkeep
from datasets.preheat.store import trees as module
from datasets.preheat.store.trees import Store, make_manifest
from datasets.sources.local.source import LocalSource
from datasets.specs import StoredFile
from tests.datasets.preheat.store.publishing import publish, rot, visible


def blobs(store: Store) -> list[Path]:
    return sorted((store.root / "blobs").glob("*/*"))


def test_a_published_tree_holds_the_files(source: LocalSource, store: Store, files: Path) -> None:
    tree = publish(source, store, "svm")
    assert store.get(tree.digest) == tree
    assert (tree.total_bytes, tree.file_count) == (256_045, 3)
    assert (tree.path / "1" / "weights.bin").read_bytes() == (files / "svm" / "1" / "weights.bin").read_bytes()
    assert upkeep.verify(store, tree.digest) == []
    assert visible(store) == [tree.digest]


def test_a_tree_is_found_by_the_fingerprint_of_its_plan(source: LocalSource, store: Store) -> None:
    tree = publish(source, store, "svm")
    assert store.find(source.plan("svm").fingerprint) == tree
    assert store.find("0" * 64) is None


def test_the_digest_depends_on_names_and_content_only() -> None:
    one, two = StoredFile("a", 1, "11"), StoredFile("b", 1, "22")
    assert make_manifest((one, two)).digest == make_manifest((two, one)).digest
    assert (
        len(
            {
                make_manifest(case, empty).digest
                for case, empty in [
                    ((one,), ()),
                    ((two,), ()),
                    ((one, two), ()),
                    ((one,), ("c",)),
                    ((StoredFile("a\nb", 1, "11"),), ()),
                ]
            }
        )
        == 5
    )


def test_the_files_of_a_tree_are_read_only_and_not_executable(source: LocalSource, store: Store, files: Path) -> None:
    (files / "svm" / "1" / "model.py").chmod(0o777)
    tree = publish(source, store, "svm")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tree.path, *tree.path.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o444}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o555}


def test_every_content_is_kept_once(source: LocalSource, store: Store, files: Path) -> None:
    (files / "other").mkdir()
    (files / "other" / "same.bin").write_bytes((files / "svm" / "1" / "weights.bin").read_bytes())
    one, two = publish(source, store, "svm", "1"), publish(source, store, "other", "2")
    for name in ("1", "2"):
        store.discard_staging(name)
    assert len(blobs(store)) == 3
    assert (one.path / "1" / "weights.bin").samefile(two.path / "same.bin")


def test_the_same_files_published_twice_are_one_tree(source: LocalSource, store: Store) -> None:
    assert publish(source, store, "svm", "1") == publish(source, store, "svm", "2")
    assert len(visible(store)) == 1


def test_of_two_rounds_that_publish_the_same_at_once_the_first_ones_tree_stays(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, first = building._make_read_only, []

    def overtake(folder: Path) -> None:
        original(folder)
        if not first:
            first.append(0)
            first[0] = publish(source, store, "svm", "2").path.stat().st_ino

    monkeypatch.setattr(building, "_make_read_only", overtake)
    tree = publish(source, store, "svm", "1")
    assert [tree.path.stat().st_ino] == first
    assert upkeep.verify(store, tree.digest) == []


def test_empty_folders_are_in_the_tree(source: LocalSource, store: Store, files: Path) -> None:
    (files / "ensemble" / "1").mkdir(parents=True)
    (files / "ensemble" / "config.pbtxt").write_text('platform: "ensemble"')
    tree = publish(source, store, "ensemble")
    assert (tree.path / "1").is_dir()


def test_a_store_without_hard_links_copies(source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    tree = publish(source, store, "svm")
    assert upkeep.verify(store, tree.digest) == []
    assert blobs(store) == []


@pytest.mark.parametrize("calls", [1, 2])
def test_a_publisher_that_is_stopped_publishes_nothing_to_be_found(
    source: LocalSource, store: Store, calls: int
) -> None:
    left = [calls]

    def check() -> None:
        left[0] -= 1
        if not left[0]:
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        publish(source, store, "svm", check=check)
    assert store.find(source.plan("svm").fingerprint) is None
    assert len(visible(store)) == calls - 1


@pytest.mark.parametrize("damage", ["gone", "shorter", "manifest", "manifest of another"])
def test_a_damaged_tree_is_not_used_and_is_replaced(
    source: LocalSource, store: Store, files: Path, damage: str
) -> None:
    tree = publish(source, store, "svm")
    victim = tree.path / "1" / "weights.bin"
    manifest = store.root / "manifests" / f"{tree.digest}.json"
    if damage == "gone":
        victim.parent.chmod(0o755)
        victim.unlink()
    elif damage == "shorter":
        victim.chmod(0o644)
        os.truncate(victim, 10)
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        other = publish(source, store, "README.txt", "3")
        manifest.write_text((store.root / "manifests" / f"{other.digest}.json").read_text())
    assert store.get(tree.digest) is None
    assert store.find(source.plan("svm").fingerprint) is None
    assert publish(source, store, "svm", "2").digest == tree.digest
    assert upkeep.verify(store, tree.digest) == []


def test_a_blob_that_rotted_is_replaced_before_it_is_shared(source: LocalSource, store: Store, files: Path) -> None:
    tree = publish(source, store, "svm")
    store.discard_staging("1")
    rotten = tree.path / "1" / "weights.bin"
    rotten.chmod(0o644)
    with rotten.open("r+b") as stream:
        stream.write(b"rotten")
    assert upkeep.verify(store, tree.digest) == ["1/weights.bin is not what was copied."]
    (files / "svm" / "new").touch()
    assert upkeep.verify(store, publish(source, store, "svm", "2").digest) == []


def test_verifying_names_what_is_missing_and_what_does_not_belong(source: LocalSource, store: Store) -> None:
    tree = publish(source, store, "svm")
    (tree.path / "1").chmod(0o755)
    (tree.path / "1" / "model.py").unlink()
    (tree.path / "1" / "extra").touch()
    (tree.path / "1" / "__pycache__").mkdir()
    (tree.path / "1" / "__pycache__" / "model.pyc").touch()
    assert upkeep.verify(store, tree.digest) == ["1/model.py is missing.", "1/extra does not belong there."]
    assert upkeep.verify(store, "0" * 64) == ["The tree is not in the store."]


def test_eviction_keeps_what_is_used_or_young(source: LocalSource, store: Store) -> None:
    kept, old, young = (publish(source, store, path, path.replace("/", "-")) for path in ("svm", "README.txt", "svm/1"))
    for name in store.staging_names():
        store.discard_staging(name)
    for tree in (kept, old):
        os.utime(tree.path, (1, 1))
    assert upkeep.evict(store, {kept.digest}, not_used_since=time.time() - 60) == [old.digest]
    assert store.get(kept.digest) == kept
    assert store.get(young.digest) == young
    assert upkeep.evict(store, {kept.digest, young.digest}, not_used_since=time.time() + 60) == []
    assert len(blobs(store)) == 3  # those of the trees stay, to be shared with the next one
    assert store.get(old.digest) is None
    assert upkeep.evict(store, set(), not_used_since=time.time() + 60) != []
    assert visible(store) == []
    assert blobs(store) == []
    assert list((store.root / "trash").iterdir()) == []


def test_a_digest_that_a_source_merely_names_gives_nobody_a_content(source: LocalSource, store: Store) -> None:
    tree = publish(source, store, "svm")
    manifest = store.manifest(tree.digest)
    assert manifest is not None
    plan = source.plan("README.txt")
    for stored in manifest.files:
        claimed = dataclasses.replace(plan.files[0], size=stored.size, check=f"sha256:{stored.sha256}")
        assert store.stored_finder(plan, "README.txt")(claimed) is None


def test_a_tree_that_the_machine_went_down_with_does_not_pass_for_the_one_just_made(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish(source, store, "svm")
    rot(old)  # blocks that were reserved and never written
    monkeypatch.setattr(module, "boot_id", lambda: "another boot")
    for file in (files / "svm").rglob("*"):
        os.utime(file)  # another plan with the same contents
    new = publish(source, store, "svm", "2")
    assert new.digest == old.digest
    assert upkeep.verify(store, new.digest) == []


def test_what_is_damaged_is_damaged_in_every_tree_that_holds_it(source: LocalSource, store: Store) -> None:
    one, two, other = (publish(source, store, path, path[-4:]) for path in ("svm", "svm/1", "README.txt"))
    rot(one)
    assert upkeep.condemn(store, one.digest) == ["1/weights.bin is not what was copied."]
    assert [store.get(tree.digest) for tree in (one, two)] == [None, None]
    assert store.get(other.digest) == other


def test_a_tree_without_a_list_of_its_files_is_not_read_for_ever(source: LocalSource, store: Store) -> None:
    tree = publish(source, store, "svm")
    (store.root / "manifests" / f"{tree.digest}.json").unlink()
    assert upkeep.least_recently_verified(store) == tree.digest
    upkeep.condemn(store, tree.digest)
    assert upkeep.least_recently_verified(store) is None


def test_making_room_frees_the_bytes_at_once_and_no_more_than_needed(source: LocalSource, store: Store) -> None:
    trees = [publish(source, store, path, path.replace("/", "-")) for path in ("README.txt", "svm/1", "svm")]
    for name in store.staging_names():
        store.discard_staging(name)
    for age, tree in enumerate(trees):
        os.utime(tree.path, (age + 1, age + 1))
    before = upkeep.used_bytes(store)
    assert upkeep.make_room(store, set(), 1, grace=60, now=time.time()) == [trees[0].digest]
    assert upkeep.used_bytes(store) == before - 7
    # What svm/1 has, svm has too: nothing is free before both are gone.
    assert upkeep.make_room(store, {trees[2].digest}, 1000, grace=60, now=time.time()) == [trees[1].digest]
    assert upkeep.used_bytes(store) == before - 7
    assert upkeep.verify(store, trees[2].digest) == []
    assert upkeep.make_room(store, set(), 1000, grace=1e12, now=time.time()) == []


def test_being_found_makes_a_tree_young(source: LocalSource, store: Store) -> None:
    tree = publish(source, store, "svm")
    os.utime(tree.path, (1, 1))
    store.find(source.plan("svm").fingerprint)
    assert upkeep.evict(store, set(), not_used_since=time.time() - 60) == []


def test_eviction_leaves_contents_of_a_publication_under_way(source: LocalSource, store: Store) -> None:
    def evicting() -> None:
        upkeep.evict(store, set(), not_used_since=time.time() + 60)

    with pytest.MonkeyPatch.context() as patched:
        original = building._make_read_only
        patched.setattr(building, "_make_read_only", lambda folder: (evicting(), original(folder)))
        tree = publish(source, store, "svm")
    assert upkeep.verify(store, tree.digest) == []


def test_the_store_is_closed_to_other_users(store: Store) -> None:
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
