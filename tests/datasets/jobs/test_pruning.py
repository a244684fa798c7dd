"""Rounds that ended long ago go, but none that anything still refers to, and nothing that was counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from console.accounts.principal import Principal
from datasets import states, tasks
from datasets.actions import round_log
from datasets.actions.round_log import say
from datasets.actions.rounds import request_round
from datasets.jobs import pruning, rounds
from datasets.models import Dataset, Round, RoundLine
from datasets.signals import rounds_wanted
from tests.datasets.looking import Prepare

pytestmark = pytest.mark.django_db
LONG_AGO = pruning.YOUNG + timedelta(days=1)


def ended(
    dataset: Dataset, count: int, state: str = states.FAILED, ago: timedelta = LONG_AGO, **fields: Any
) -> list[int]:
    """Primary keys of rounds that ended that long ago, oldest first."""
    given = {"path": "svm", "node": "local", "state": state, "finished_at": timezone.now() - ago, **fields}
    return [Round.objects.create(dataset=dataset, **given).pk for _ in range(count)]


def kept() -> list[int]:
    return list(Round.objects.order_by("pk").values_list("pk", flat=True))


@pytest.fixture
def named() -> Iterator[set[int]]:
    """Rounds that another app needs; fill it in."""
    needs: set[int] = set()

    def needed_rounds(sender: object, rounds: set[int], **_: object) -> set[int]:
        return needs & rounds

    rounds_wanted.connect(needed_rounds)
    yield needs
    rounds_wanted.disconnect(needed_rounds)


def test_of_each_folder_the_newest_rounds_that_ended_stay_however_old(dataset: Dataset) -> None:
    svm, other = ended(dataset, pruning.NEWEST + 3), ended(dataset, 3, states.CANCELLED, path="other")
    assert pruning.prune() == 3
    assert kept() == svm[3:] + other
    assert pruning.prune() == 0


def test_a_young_round_stays_however_many_there_are(dataset: Dataset) -> None:
    old = ended(dataset, 3)
    young = ended(dataset, pruning.NEWEST + 5, ago=timedelta(days=29))
    assert pruning.prune() == len(old)
    assert kept() == young


def test_a_round_that_is_not_over_stays(dataset: Dataset) -> None:
    paused = ended(dataset, 1, states.PAUSED)
    many = ended(dataset, pruning.NEWEST)
    assert pruning.prune() == 0
    assert kept() == paused + many


def test_rounds_of_another_node_are_for_its_own_worker(dataset: Dataset) -> None:
    ended(dataset, pruning.NEWEST + 3, node="elsewhere")
    assert pruning.prune() == 0


def test_the_last_copy_of_a_folder_stays(dataset: Dataset) -> None:
    _, last = ended(dataset, 2, states.DONE, tree="a" * 64)
    failed = ended(dataset, pruning.NEWEST)
    assert pruning.prune() == 1
    assert kept() == [last, *failed]


def test_the_last_round_that_made_a_copy_in_the_store_stays(dataset: Dataset, prepare: Prepare) -> None:
    tree = prepare("svm")
    Round.objects.all().delete()
    first, source = ended(dataset, 2, states.DONE, tree=tree)
    elsewhere = ended(dataset, 1, states.DONE, tree=tree, path="copy of svm")
    evicted = ended(dataset, 1, states.DONE, tree="b" * 64)
    last = ended(dataset, 1, states.DONE, tree="c" * 64)
    failed = ended(dataset, pruning.NEWEST) + ended(dataset, pruning.NEWEST, path="copy of svm")
    assert pruning.prune() == 2
    assert kept() == sorted([source, *elsewhere, *last, *failed])
    assert not Round.objects.filter(pk__in=[first, *evicted]).exists()


def test_what_another_app_needs_stays_and_does_not_stop_the_rest(
    dataset: Dataset, named: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    old = ended(dataset, 7)
    newest = ended(dataset, pruning.NEWEST)
    named |= {old[0], old[1], old[5]}
    assert pruning.prune() == 4
    assert kept() == [old[0], old[1], old[5], *newest]


def test_what_a_failed_round_left_is_gone_before_its_row_is() -> None:
    assert rounds.FAILED_KEEP < pruning.YOUNG


def test_the_log_goes_with_the_round_and_what_it_moved_stays_counted(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    old = ended(dataset, 3, bytes_copied=100)
    newest = ended(dataset, pruning.NEWEST, bytes_copied=1)
    for pk in (old[0], newest[0]):
        say(pk, "Something happened.")
    tasks.prune_rounds()
    assert kept() == newest
    assert list(RoundLine.objects.values_list("round", flat=True)) == [newest[0]]
    dataset.refresh_from_db()
    assert dataset.bytes_of_pruned == 300


def test_one_batch_is_read_and_removed_at_a_time(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 10)
    ended(dataset, pruning.NEWEST + 30)
    with CaptureQueriesContext(connection) as seen:
        assert pruning.prune() == 30
    deleted = [query["sql"] for query in seen if query["sql"].startswith('DELETE FROM "datasets_round" ')]
    assert len(deleted) == 3


def test_the_sweep_of_the_hour_prunes(settings: Settings) -> None:
    assert settings.CELERY_BEAT_SCHEDULE["pruning"]["task"] == tasks.prune_rounds.name


def test_a_log_keeps_its_newest_lines(dataset: Dataset, owner: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_log, "LINES", 5)
    one, other = (request_round(dataset, path, actor=owner) for path in ("svm", ""))
    for number in range(12):
        say(one.pk, f"Line {number}.")
    assert [line.text for line in one.lines.all()] == [f"Line {number}." for number in range(7, 12)]
    assert other.lines.count() == 1
