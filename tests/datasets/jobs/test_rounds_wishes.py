"""Pausing, resuming, trying again, mirroring and keeping, and rounds that want the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.accounts.principal import Principal
from console.errors import Conflict
from console.models import Team
from datasets import states, wiring
from datasets.actions import datasets
from datasets.actions.rounds import cancel, pause, request_round, resume, retry
from datasets.errors import Paused
from datasets.jobs import leases, rounds
from datasets.models import Dataset, Round
from datasets.preheat.copying import copy as copying
from datasets.preheat.store.trees import Store
from datasets.queries import progress
from tests.datasets.looking import fresh
from tests.datasets.worker import Worker

pytestmark = pytest.mark.django_db


def lines(job: Round) -> str:
    return "\n".join(job.lines.values_list("text", flat=True))


def test_a_round_is_paused_where_it_is_and_goes_on_from_there(
    worker: Worker, owner: Principal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.0)
    job = worker.request()
    original = copying.copy

    def paused_after(*args: Any, **options: Any) -> Any:
        stored = original(*args, **options)
        pause(job, actor=owner)
        return stored

    monkeypatch.setattr(copying, "copy", paused_after)
    worker.run(job)
    monkeypatch.setattr(copying, "copy", original)
    paused = fresh(job)
    assert (paused.state, paused.lease_token, paused.pause_requested) == (states.PAUSED, "", False)
    assert "Paused at" in progress.progress(paused)["sentence"]
    rounds.sweep()
    assert store.staging_names() == [str(job.pk)]
    worker.run(job)  # a message that was under way
    assert fresh(job).state == states.PAUSED
    assert resume(paused, actor=owner).state == states.PENDING
    done = worker.run(job)
    assert (done.state, done.bytes_copied) == (states.DONE, done.bytes_total)
    assert "alice asked to pause." in lines(done) and "Resumed by alice." in lines(done)


def test_a_round_that_nobody_works_on_is_paused_at_once(worker: Worker, owner: Principal) -> None:
    job = worker.request()
    assert pause(job, actor=owner).state == states.PAUSED
    assert pause(job, actor=owner).state == states.PAUSED
    assert leases.claim(job.pk) is None
    assert worker.request() == job
    assert cancel(job, actor=owner).state == states.CANCELLED
    for verb in (pause, resume):
        with pytest.raises(Conflict):
            verb(job, actor=owner)


def test_a_wish_to_pause_is_withdrawn_by_resuming(worker: Worker, owner: Principal) -> None:
    job = worker.request()
    assert leases.claim(job.pk)
    assert pause(job, actor=owner).pause_requested
    assert not resume(job, actor=owner).pause_requested


@pytest.mark.parametrize(("verb", "state"), [(cancel, states.CANCELLED), (resume, states.COPYING)])
def test_who_thinks_better_of_a_pause_while_it_begins_is_heard(
    worker: Worker, owner: Principal, monkeypatch: pytest.MonkeyPatch, verb: Any, state: str
) -> None:
    job = worker.request()

    def paused_meanwhile(*_: Any, **__: Any) -> Any:
        pause(job, actor=owner)
        verb(job, actor=owner)
        raise Paused("Paused.")

    monkeypatch.setattr(copying, "copy", paused_meanwhile)
    job = worker.run(job)
    assert (job.state, job.pause_requested and not job.cancel_requested) == (state, False)


def test_only_what_failed_or_was_cancelled_is_tried_again(worker: Worker, owner: Principal) -> None:
    job = worker.request()
    with pytest.raises(Conflict):
        retry(job, actor=owner)
    cancelled = cancel(job, actor=owner)
    assert retry(cancelled, actor=owner).state == states.PENDING


def changed(worker: Worker, files: Path, mode: str) -> Round:
    """A round in that mode after one file went and another came."""
    worker.preheat()
    (files / "svm" / "1" / "model.py").unlink()
    (files / "svm" / "new.txt").write_text("new")
    return worker.preheat(mode=mode)


@pytest.mark.parametrize(("mode", "stays"), [(states.MIRROR, False), (states.KEEP, True)])
def test_what_is_gone_from_the_source_goes_or_stays(worker: Worker, files: Path, mode: str, stays: bool) -> None:
    done = changed(worker, files, mode)
    tree = wiring.tree_of(done)
    assert tree is not None
    assert (tree.path / "1" / "model.py").exists() == stays
    assert (tree.path / "new.txt").read_text() == "new"
    assert done.bytes_copied == 3  # what was there already is not copied again


def test_keeping_twice_keeps_the_same_tree(worker: Worker, files: Path) -> None:
    done = changed(worker, files, states.KEEP)
    again = worker.preheat(mode=states.KEEP)
    assert (again.tree, again.bytes_copied) == (done.tree, 0)


def test_a_folder_in_the_place_of_a_kept_file_wins(worker: Worker, files: Path) -> None:
    worker.preheat()
    (files / "svm" / "config.pbtxt").unlink()
    (files / "svm" / "config.pbtxt").mkdir()
    (files / "svm" / "config.pbtxt" / "inside").touch()
    tree = wiring.tree_of(worker.preheat(mode=states.KEEP))
    assert tree is not None
    assert (tree.path / "config.pbtxt" / "inside").exists()


def test_two_datasets_of_the_same_files_cause_one_transfer(
    worker: Worker, dataset: Dataset, owner: Principal, files: Path, team: Team
) -> None:
    other = datasets.create(team=team, name="again", kind="local", options={"path": str(files)}, actor=owner)
    first, second = (request_round(which, "svm", actor=owner) for which in (dataset, other))
    original = copying.copy

    def overtaken(*args: Any, **options: Any) -> Any:
        rounds.run(second.pk)  # by another worker, meanwhile
        assert f"Waiting for round {first.pk}, which copies the same" in progress.progress(fresh(second))["sentence"]
        return original(*args, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copying, "copy", overtaken)
        worker.run(first)
    second = worker.attempt(second)
    assert (second.tree, second.bytes_copied) == (fresh(first).tree, 0)
    assert fresh(second).attempts == 0


def test_the_log_of_a_round_says_what_happened(worker: Worker) -> None:
    job = worker.preheat()
    log_lines = lines(job)
    for part in ("Requested by alice.", "Listing svm of models.", "3 files of 250 KiB", "digest", "Done: 3 files"):
        assert part in log_lines, log_lines
