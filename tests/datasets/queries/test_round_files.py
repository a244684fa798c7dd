"""The files of a round one by one: while it copies, while it rests, once it is done, and when nothing is left."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from console.accounts.principal import Principal
from datasets import states
from datasets.actions.round_log import say
from datasets.actions.rounds import cancel, request_round
from datasets.jobs import leases
from datasets.models import Dataset, Round
from datasets.preheat.copying import copy as copying
from datasets.preheat.copying import file_progress
from datasets.preheat.journal import Staging, key_of
from datasets.preheat.store.building import remove
from datasets.preheat.store.trees import Store
from datasets.queries import progress as round_progress
from datasets.queries import round_files
from datasets.specs import Plan, SourceFile
from tests.datasets.looking import fresh
from tests.datasets.worker import Worker

pytestmark = pytest.mark.django_db
MIB = 1 << 20


@pytest.fixture
def job(dataset: Dataset, owner: Principal) -> Round:
    return request_round(dataset, "svm", actor=owner)


def planned(count: int) -> Plan:
    return Plan(tuple(SourceFile(f"{number:05}.bin", 4 * MIB, "v1") for number in range(count)), "f" * 64)


def under_way(job: Round, store: Store, count: int = 4, done: int = 1) -> None:
    """As a worker leaves the staging directory in the middle: the first files are there, the next one moves."""
    plan = planned(count)
    with Staging(store.root / "staging" / str(job.pk)) as staging:
        watch = file_progress.ProgressFiles(staging.directory, plan)
        for file in plan.files[:done]:
            staging.finished(key_of(file), "a" * 64)
        for came in (0, MIB):
            watch._written = 0.0
            watch.note(copying.Progress(came, done, came, (copying.Moving(plan.files[done].path, 4 * MIB, came),)))
            time.sleep(0.01)
    Round.objects.filter(pk=job.pk).update(state=states.COPYING)


def test_what_moves_comes_first_with_its_speed_and_time_left(job: Round, store: Store) -> None:
    under_way(job, store)
    listing = round_files.files_of(fresh(job))
    assert [(row.path, row.state) for row in listing.rows] == [
        ("00001.bin", "moving"),
        ("00000.bin", "there"),
        ("00002.bin", "waiting"),
        ("00003.bin", "waiting"),
    ]
    first, complete, waiting, _ = listing.rows
    assert (first.bytes_done, first.percent) == (MIB, 25) and first.bytes_per_second > 0
    assert round_files.seconds_left(first) == round(3 * MIB / first.bytes_per_second)
    assert (complete.percent, complete.sha256, waiting.percent) == (100, "a" * 64, 0)
    assert round_files.seconds_left(complete) is round_files.seconds_left(waiting) is None
    assert listing.counts == {"moving": 1, "waiting": 2, "there": 1} and (listing.total, listing.missing) == (4, "")


@pytest.mark.parametrize(("state", "paths"), [("moving", [1]), ("waiting", [2, 3]), ("there", [0])])
def test_only_files_in_one_state_are_given(job: Round, store: Store, state: str, paths: list[int]) -> None:
    under_way(job, store)
    listing = round_files.files_of(fresh(job), state)
    assert [row.path for row in listing.rows] == [f"{number:05}.bin" for number in paths]
    assert listing.total == 4


@pytest.mark.parametrize("state", [states.PAUSED, states.PENDING, states.FAILED])
def test_nothing_moves_while_nobody_copies(job: Round, store: Store, state: str) -> None:
    under_way(job, store)
    Round.objects.filter(pk=job.pk).update(state=state)
    listing = round_files.files_of(fresh(job))
    assert listing.counts == {"moving": 0, "waiting": 3, "there": 1}
    stopped = listing.rows[0]
    assert (stopped.state, stopped.bytes_done, stopped.bytes_per_second) == ("waiting", MIB, 0.0)


def test_a_round_shows_every_file_from_plan_to_tree(worker: Worker, job: Round) -> None:
    assert round_files.files_of(job).missing == "The files are not listed yet."
    seen: list[round_files.RoundFiles] = []
    original = copying.copy

    def looked_at(*args: Any, **options: Any) -> Any:
        seen.append(round_files.files_of(fresh(job)))
        stored = original(*args, **options)
        seen.append(round_files.files_of(fresh(job)))
        return stored

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copying, "copy", looked_at)
        worker.run(job)
    before, after = seen
    assert before.counts == {"moving": 0, "waiting": 3, "there": 0}
    assert after.counts == {"moving": 0, "waiting": 0, "there": 3}
    done = round_files.files_of(fresh(job))
    assert {row.path for row in done.rows} == {"config.pbtxt", "1/model.py", "1/weights.bin"}
    assert {(row.path, row.sha256) for row in done.rows} == {(row.path, row.sha256) for row in after.rows}


def test_files_of_an_evicted_copy_are_gone_and_it_is_said(worker: Worker, job: Round, store: Store) -> None:
    worker.run(job)
    remove(store.root / "trees" / fresh(job).tree)
    listing = round_files.files_of(fresh(job))
    assert (listing.rows, listing.total) == ((), 0) and "no longer in the store" in listing.missing


def test_of_a_cancelled_round_nothing_is_left(job: Round, owner: Principal) -> None:
    cancel(job, actor=owner)
    assert "Cancelled" in round_files.files_of(fresh(job)).missing


def test_a_failed_round_whose_parts_are_gone_says_so(job: Round, store: Store) -> None:
    under_way(job, store)
    Round.objects.filter(pk=job.pk).update(state=states.FAILED)
    shutil.rmtree(store.root / "staging" / str(job.pk))
    assert "have been removed" in round_files.files_of(fresh(job)).missing


def test_files_on_another_node_are_not_guessed(worker: Worker, job: Round, settings: Settings) -> None:
    worker.run(job)
    settings.NODE_NAME = "second"
    listing = round_files.files_of(fresh(job))
    assert not listing.rows and "on node local" in listing.missing and "second" in listing.missing


@pytest.mark.slow
def test_twenty_thousand_files_cost_at_most_fifty_times_the_parsing_of_their_plan(job: Round, store: Store) -> None:
    under_way(job, store, count=20_000, done=19_000)
    current = fresh(job)
    plan = (store.root / "staging" / str(job.pk) / "plan.json").read_bytes()

    def cost(call: Callable[[], object]) -> float:
        began = time.process_time()
        call()
        return time.process_time() - began

    listing, parsing = (
        min(cost(call) for _ in range(3)) for call in (lambda: round_files.files_of(current), lambda: json.loads(plan))
    )
    assert round_files.files_of(current).total == 20_000
    assert listing < 50 * parsing, (listing, parsing)


def test_the_log_has_its_newest_lines_in_the_order_of_time(job: Round) -> None:
    for number in range(5):
        say(job.pk, f"line {number}")
    assert [line.text for line in round_files.log_of(job, 2)] == ["line 3", "line 4"]
    assert round_files.log_of(job)[0].text == "Requested by alice."


def test_the_bar_never_runs_backwards_and_is_full_only_when_done(
    worker: Worker, job: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.0)
    seen: list[tuple[str, int]] = []
    original = leases.Lease._update

    def looked_at(self: leases.Lease, **fields: Any) -> None:
        original(self, **fields)
        progress = round_progress.progress(fresh(job))
        seen.append((progress["state"], progress["percent"]))

    monkeypatch.setattr(leases.Lease, "_update", looked_at)
    worker.run(job)
    percents = [percent for _, percent in seen]
    assert percents == sorted(percents) and seen[-1] == (states.DONE, 100)
    assert all(percent < 100 for state, percent in seen if state != states.DONE)
