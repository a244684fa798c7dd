"""Rounds that share the seats of a node: teams in turn, slow ones after others, and a database that goes away."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from console.accounts.principal import Principal, for_user
from console.models import Team
from datasets import dispatch, states
from datasets.actions import datasets
from datasets.actions.rounds import request_round
from datasets.jobs import rounds, seats, turns
from datasets.jobs.seats import Seats
from datasets.models import Dataset, Round
from datasets.preheat.copying import copy as copying
from tests.datasets.looking import expire, fresh
from tests.datasets.worker import Worker


@pytest.fixture
def other_dataset(dataset: Dataset, other_team: Team, charlie: User, files: Path) -> Dataset:
    options = {"path": str(files)}
    return datasets.create(team=other_team, name="others", kind="local", options=options, actor=for_user(charlie))


def ask(dataset: Dataset, *paths: str) -> list[Round]:
    """Rounds that wait since a while."""
    actor = Principal("test", is_admin=True)
    jobs = [request_round(dataset, path, actor=actor) for path in paths]
    Round.objects.filter(pk__in=[one.pk for one in jobs]).update(created_at=timezone.now() - timedelta(minutes=1))
    return jobs


def sit(*rounds_: Round, **fields: Any) -> None:
    now = timezone.now()
    fields = {"seated_at": now, "planned_at": now, "state": states.COPYING, **fields}
    Round.objects.filter(pk__in=[one.pk for one in rounds_]).update(
        lease_token="another", lease_until=now + timedelta(seconds=60), **fields
    )


def test_rounds_are_handed_out_by_team_and_the_others_told_what_they_wait_for(
    dataset: Dataset, other_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ask(dataset, "", "svm", "svm/1", "README.txt")
    (theirs,) = ask(other_dataset, "svm")
    sent: list[int] = []
    monkeypatch.setattr(dispatch, "run_round", lambda pk, **_: sent.append(pk))
    sit(mine[0])
    rounds._hand_out(20)
    assert sent == [theirs.pk, mine[1].pk, mine[2].pk, mine[3].pk]
    assert [fresh(one).message for one in (theirs, *mine[1:])] == [
        "",
        "",
        "",
        "Waiting for its turn: 1 preheat is under way. It is the next.",
    ]


def test_a_message_for_a_round_whose_turn_it_is_not_brings_the_one_whose_turn_it_is(
    worker: Worker, dataset: Dataset, other_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_seats", Seats(1))
    mine, waits = ask(dataset, "", "svm")
    (theirs,) = ask(other_dataset, "svm")
    sit(mine)
    assert (worker.run(waits).state, fresh(theirs).state) == (states.PENDING, states.DONE)


def test_a_slow_round_lets_another_go_first_and_goes_on_where_it_was(
    worker: Worker, dataset: Dataset, other_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_seats", Seats(1))
    monkeypatch.setattr(seats, "LOOK", 0.0)
    monkeypatch.setattr(turns, "SLOW_AFTER", 1e-9)
    (slow,) = ask(dataset, "")
    original = copying.copy

    def somebody_else_comes(*args: Any, **options: Any) -> Any:
        if not Round.objects.exclude(pk=slow.pk).exists():
            ask(other_dataset, "svm")
        return original(*args, **options)

    monkeypatch.setattr(copying, "copy", somebody_else_comes)
    waits = worker.run(slow)
    assert (waits.state, waits.message, waits.slow_yields) == (states.COPYING, turns.SLOW, 1)
    assert (waits.lease_token, waits.attempts) == ("", 0)
    other = Round.objects.exclude(pk=slow.pk).get()
    assert worker.run(other).state == states.DONE
    done = worker.attempt(slow)
    assert (done.state, done.attempts) == (states.DONE, 0)
    assert done.bytes_copied <= done.bytes_total
    assert turns.SLOW in [line.text for line in done.lines.all()]


@pytest.mark.parametrize("error", [OperationalError("server closed the connection"), InterfaceError("gone")])
def test_a_round_outlives_a_database_that_is_away(
    worker: Worker, owner: Principal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(rounds.connection, "close", lambda: None)  # the test's own
    job = worker.request()

    def away() -> None:
        raise error

    def copy(*args: Any, **options: Any) -> Any:
        if len(cut) < 2 * rounds.ATTEMPTS:
            cut.append(1)
            options["check"] = away
        return complete(*args, **options)

    cut: list[int] = []
    complete = copying.copy
    monkeypatch.setattr(copying, "copy", copy)
    for _ in range(2 * rounds.ATTEMPTS):
        assert worker.run(job).state == states.COPYING
        expire(job)  # as soon as the owner is silent
    done = worker.run(job)
    assert (done.state, done.attempts) == (states.DONE, 0)


@pytest.mark.parametrize("call", ["is_free", "claim"])
def test_a_database_that_is_away_before_the_round_is_claimed_leaves_it_as_it_is(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(rounds.connection, "close", lambda: None)
    job = worker.request()

    def away(_: int) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(rounds, call, away)
        worker.run(job)
    assert fresh(job).state == states.PENDING
    assert rounds._seats.left() == seats.MOST
    assert worker.run(job).state == states.DONE
