"""What an administrator is told of the store, and what they may do to one copy in it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden, NotFound
from console.models import Team
from datasets import dispatch, states, wiring
from datasets.actions import datasets
from datasets.actions import store as store_actions
from datasets.jobs import healing
from datasets.models import Dataset, Round
from datasets.preheat.store import upkeep
from datasets.queries import store as store_queries
from tests.datasets.looking import OLD, Prepare

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(admin: User) -> Principal:
    return for_user(admin)


def test_an_empty_store_is_told_too(dataset: Dataset, settings: Settings) -> None:
    settings.STORE_QUOTA_BYTES = 5 << 30
    usage = store_queries.read()
    assert (usage.node, usage.used, usage.quota, usage.trees, usage.next, usage.damaged) == (
        "local",
        0,
        5 << 30,
        (),
        None,
        0,
    )
    assert 0 < usage.disk_free <= usage.disk_total


def test_a_copy_is_shown_with_where_it_came_from_and_who_needs_it(
    prepare: Prepare, needed: dict[str, set[str]], dataset: Dataset, team: Team, owner: Principal, files: Path
) -> None:
    other = datasets.create(team=team, name="again", kind="local", options={"path": str(files)}, actor=owner)
    digest = prepare("svm")
    assert prepare("svm", of=other) == digest
    needed[digest] = {"echo", "detector"}
    (tree,) = store_queries.read().trees
    assert (tree.digest, tree.files, tree.bytes, tree.needed) == (digest, 3, 256_045, True)
    assert tree.users == ("detector", "echo") and tree.leaves == 0
    newest, before = Round.objects.filter(state=states.DONE)
    assert [(origin.dataset, origin.team, origin.path, origin.round) for origin in tree.origins] == [
        ("again", "vision", "svm", newest.pk),
        ("models", "vision", "svm", before.pk),
    ]
    assert abs(tree.verified - time.time()) < 60


def test_what_goes_next_is_the_unneeded_copy_that_was_unused_the_longest(
    prepare: Prepare, needed: dict[str, set[str]]
) -> None:
    kept, young, old = prepare("svm", 3 * OLD), prepare("README.txt", OLD), prepare("svm/1", 2 * OLD)
    needed[kept] = {"echo"}
    usage = store_queries.read()
    assert [tree.digest for tree in usage.trees] == [old, young, kept]
    assert usage.next is not None and usage.next.digest == old
    assert [tree.digest for tree in usage.unwanted] == [old, young]
    assert usage.next.frees == 0  # svm holds all of it too
    assert usage.trees[1].frees == 7
    assert usage.next.leaves == pytest.approx(usage.next.used + store_queries.KEEPS.total_seconds())


def test_a_damaged_copy_says_what_is_wrong(prepare: Prepare) -> None:
    digest = prepare("svm")
    blob = next(path for path in (wiring.store().root / "trees" / digest).rglob("weights.bin"))
    blob.chmod(0o644)
    blob.write_bytes(b"\0" * 256_000)
    upkeep.condemn(wiring.store(), digest)
    (tree,) = store_queries.read().trees
    assert tree.damage == ("1/weights.bin is not what was copied.",) and store_queries.read().damaged == 1


def test_copies_of_a_deleted_dataset_are_still_shown(prepare: Prepare, dataset: Dataset, owner: Principal) -> None:
    prepare("svm")
    datasets.delete(dataset, actor=owner)
    (tree,) = store_queries.read().trees
    assert tree.origins == () and tree.bytes > 0


def test_a_copy_that_nobody_needs_is_evicted_and_its_bytes_become_free(prepare: Prepare, root: Principal) -> None:
    digest, other = prepare("svm"), prepare("README.txt")
    before = upkeep.used_bytes(wiring.store())
    freed = store_actions.evict(digest, actor=root)
    assert freed == 256_045
    assert upkeep.used_bytes(wiring.store()) == before - freed == 7
    assert [tree.digest for tree in store_queries.read().trees] == [other]
    assert wiring.tree(other) is not None


def test_contents_that_another_copy_shares_stay(prepare: Prepare, root: Principal) -> None:
    whole, part = prepare("svm"), prepare("svm/1")
    assert store_actions.evict(part, actor=root) == 0
    assert wiring.tree(whole) is not None and upkeep.verify(wiring.store(), whole) == []


def test_a_copy_that_is_needed_is_not_evicted(prepare: Prepare, needed: dict[str, set[str]], root: Principal) -> None:
    digest = prepare("svm")
    needed[digest] = {"echo"}
    with pytest.raises(Conflict, match="needed by echo"):
        store_actions.evict(digest, actor=root)
    assert wiring.tree(digest) is not None


def test_a_copy_that_somebody_is_about_to_use_is_not_evicted(prepare: Prepare, root: Principal) -> None:
    digest = prepare("svm", age=0)
    with pytest.raises(Conflict, match="10 minutes"):
        store_actions.evict(digest, actor=root)
    assert wiring.tree(digest) is not None


def test_only_administrators_touch_the_store(prepare: Prepare, owner: Principal, root: Principal) -> None:
    digest = prepare("svm")
    for verb in (store_actions.evict, store_actions.verify):
        with pytest.raises(Forbidden):
            verb(digest, actor=owner)
        for wrong in ("0" * 64, "..", ""):
            with pytest.raises(NotFound):
                verb(wrong, actor=root)
    assert wiring.tree(digest) is not None


def test_a_copy_is_read_again_by_a_worker(prepare: Prepare, root: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = prepare("svm")
    manifest = wiring.store().root / "manifests" / f"{digest}.json"
    os.utime(manifest, (1, 1))
    sent: list[str] = []
    monkeypatch.setattr(dispatch, "verify_asked", lambda: sent.append("asked"))
    store_actions.verify(digest, actor=root)
    assert sent == ["asked"] and [tree.to_verify for tree in store_queries.read().trees] == [True]
    healing.verify_asked()
    assert [tree.to_verify for tree in store_queries.read().trees] == [False]
    assert abs(wiring.store().verified_at(digest) - time.time()) < 60


def test_reading_a_copy_again_that_went_meanwhile_copies_nothing(prepare: Prepare, root: Principal) -> None:
    digest = prepare("svm")
    store_actions.evict(digest, actor=root)
    healing.read_again(digest)
    assert not Round.objects.active().exists()
