"""Rounds when things go wrong: files that change, disks that fill, workers that die, and the sweep."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from console.accounts.principal import Principal
from console.errors import Unavailable
from datasets import dispatch, states, wiring
from datasets.actions.rounds import cancel, retry
from datasets.errors import SourceError
from datasets.jobs import leases, rounds
from datasets.jobs.seats import Seats
from datasets.models import Round, RoundLine
from datasets.preheat.copying import copy as copying
from datasets.preheat.journal import Staging
from datasets.preheat.store.trees import Store
from datasets.queries import progress
from datasets.signals import round_finished
from datasets.sources.local.source import LocalSource
from tests.datasets.looking import expire, fresh
from tests.datasets.worker import Worker

pytestmark = pytest.mark.django_db
REAL_TIME, REAL_NOW = time.time, timezone.now


class Killed(BaseException):
    """Stands for the end of the worker's process."""


def set_clock(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """To so many hours after what it really is."""
    monkeypatch.setattr(time, "time", lambda: REAL_TIME() + hours * 3600)
    monkeypatch.setattr(timezone, "now", lambda: REAL_NOW() + timedelta(hours=hours))


def change_on_open(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    original = LocalSource.open

    def changing(self: LocalSource, file: Any, *args: Any) -> Any:
        body = original(self, file, *args)
        change(file)
        return body

    monkeypatch.setattr(LocalSource, "open", changing)
    monkeypatch.setattr(LocalSource, "streams", 1)


def test_a_file_that_changes_while_it_is_copied_starts_over(
    worker: Worker, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = iter([b"second " * 1000])

    def change(file: Any) -> None:
        if file.path == "1/weights.bin" and (content := next(changes, None)) is not None:
            with (files / "svm" / "1" / "weights.bin").open("r+b") as stream:
                stream.write(content)

    change_on_open(monkeypatch, change)
    done = worker.preheat()
    assert done.state == states.DONE
    tree = wiring.tree_of(done)
    assert tree is not None
    assert (tree.path / "1" / "weights.bin").read_bytes().startswith(b"second " * 1000)
    assert done.bytes_copied == 45 + 256_000  # of the first reading nothing counts: it ended as it was noticed


def test_a_file_that_never_stops_changing_ends_in_a_clear_error(
    worker: Worker, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(100))
    change_on_open(monkeypatch, lambda file: os.utime(files / "svm" / file.path, ns=(0, next(times))))
    failed = worker.preheat()
    assert failed.state == states.FAILED
    assert "1/weights.bin changed each of the 4 times" in failed.message


def test_a_round_that_finds_a_full_disk_waits_says_so_once_and_goes_on_when_there_is_room(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = {"free": copying.MARGIN + 1000, "total": 1 << 40}
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda _: type("Usage", (), disk))
    job = worker.request()
    for _ in range(2 * rounds.ATTEMPTS):
        waiting = worker.run(job)
        assert (waiting.state, waiting.attempts) == (states.COPYING, 0)
        sentence = "250.0 KiB are needed, 1000 B are free. It goes on by itself once there is room."
        assert sentence in waiting.message.replace("250 KiB", "250.0 KiB")
        assert leases.claim(job.pk) is None  # not before the pause is over
        expire(job)
    log = [line.text for line in RoundLine.objects.filter(round=job)]
    assert len([text for text in log if "are needed" in text]) == 1
    assert len([text for text in log if text.startswith("Listing")]) == 1
    disk["free"] = 1 << 39
    job = worker.run(job)
    assert (job.state, job.message) == (states.DONE, "")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("place", ["make", "begin"])
def test_a_disk_that_takes_no_note_is_waited_for(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, code: int, place: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    job = worker.request()
    with monkeypatch.context() as broken:
        broken.setattr(*{"make": (Store, "make"), "begin": (Staging, "begin")}[place], refuse)
        for _ in range(2 * rounds.ATTEMPTS):
            assert worker.run(job).state in states.UNDERWAY
            assert os.strerror(code) in fresh(job).message
            expire(job)
    assert worker.run(job).state == states.DONE


def test_a_source_that_is_away_is_tried_again_a_few_times(
    worker: Worker, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = worker.request()
    files.rename(files.with_name("away"))
    for attempt in range(1, rounds.ATTEMPTS):
        waiting = worker.run(job)
        assert waiting.state == states.COPYING
        assert f"does not exist on this machine. Attempt {attempt} of 5" in progress.progress(waiting)["sentence"]
        assert rounds.sweep() == 0 and leases.claim(job.pk) is None  # not before the pause is over
        expire(job)
    assert worker.run(job).state == states.FAILED
    assert "Given up after 5 attempts" in fresh(job).message


def test_a_source_that_comes_back_is_copied(worker: Worker, files: Path) -> None:
    job = worker.request()
    away = files.rename(files.with_name("away"))
    worker.run(job)
    away.rename(files)
    job = worker.attempt(job)
    assert (job.state, job.message) == (states.DONE, "")


def test_a_round_that_waits_for_its_next_attempt_is_cancelled_at_once(
    worker: Worker, owner: Principal, files: Path
) -> None:
    job = worker.request()
    files.rename(files.with_name("away"))
    worker.run(job)
    assert cancel(job, actor=owner).state == states.CANCELLED


def test_the_round_after_a_failed_one_goes_on_with_what_was_copied(
    worker: Worker, owner: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = LocalSource.open

    def unreadable(self: LocalSource, file: Any, *args: Any) -> Any:
        if file.path == "config.pbtxt":
            raise SourceError("It cannot be read.")
        return original(self, file, *args)

    monkeypatch.setattr(LocalSource, "open", unreadable)
    monkeypatch.setattr(LocalSource, "streams", 1)
    failed = worker.preheat()
    assert (failed.state, failed.message) == (states.FAILED, "It cannot be read.")
    rounds.sweep()
    monkeypatch.setattr(LocalSource, "open", original)
    again = retry(fresh(failed), actor=owner)
    assert again.pk != failed.pk
    again = worker.run(again)
    assert (again.state, again.bytes_copied) == (states.DONE, 45)


def test_who_may_list_but_not_read_is_given_nothing_from_the_store(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.preheat()

    def forbidden(*_: Any) -> None:
        raise SourceError("These credentials may not read.")

    monkeypatch.setattr(LocalSource, "open", forbidden)
    job = worker.preheat()
    assert (job.state, job.tree) == (states.FAILED, "")
    assert fresh(job).message == "These credentials may not read."


def test_an_unexpected_error_ends_the_round(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(copying, "copy", broken)
    job = worker.request()
    assert worker.run(job).state == states.FAILED
    assert "secret" not in fresh(job).message


def test_a_store_that_others_use_for_long_is_waited_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_use(*_: Any, **__: Any) -> None:
        raise Unavailable("trees has been in use for 60 s.", hint="Try again later.")

    job = worker.request()
    with monkeypatch.context() as busy:
        busy.setattr(copying, "copy", in_use)
        worker.run(job)
    assert (fresh(job).state in states.ACTIVE, fresh(job).attempts) == (True, 0)
    assert fresh(job).message == "trees has been in use for 60 s. Try again later."
    assert worker.attempt(job).state == states.DONE


def test_a_worker_does_only_so_many_rounds_at_once(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = worker.request()
    monkeypatch.setattr(rounds, "_seats", Seats(1))
    assert rounds._seats.take()
    job = worker.run(job)
    assert (job.state, job.lease_token) == (states.PENDING, "")
    rounds._seats.leave()
    assert worker.run(job).state == states.DONE


def test_a_round_that_ends_makes_room_for_the_next_at_once(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (worker.request(path) for path in ("svm", ""))
    sent: list[int] = []
    monkeypatch.setattr(dispatch, "run_round", lambda pk, **_: sent.append(pk))
    worker.run(first)
    assert sent == [second.pk]


def test_the_sweep_hands_out_what_nobody_works_on(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(dispatch, "run_round", lambda pk, **_: sent.append(pk))
    waiting = worker.request()
    held = worker.request("")
    dead = worker.request("svm/1")
    for job in (held, dead):
        leases.claim(job.pk)
    expire(dead)
    sent.clear()
    assert rounds.sweep() == 2
    assert sent == [waiting.pk, dead.pk]
    sent.clear()
    assert rounds.sweep(limit=1) == 1


def test_the_sweep_takes_a_round_from_a_killed_worker_before_its_lease_ends(worker: Worker, store: Store) -> None:
    held, killed, recent = (worker.request(path) for path in ("", "svm", "svm/1"))
    for job in (held, killed, recent):
        leases.claim(job.pk)
    said_nothing = timezone.now() + timedelta(seconds=leases.LEASE - leases.SILENCE - 1)
    Round.objects.exclude(pk=recent.pk).update(lease_until=said_nothing)
    with store.staging(str(held.pk)):
        assert rounds.sweep() == 1
    assert [leases.claim(job.pk) is not None for job in (held, killed, recent)] == [False, True, False]


@pytest.mark.parametrize("token", ["", "0" * 32])
def test_a_time_that_a_moved_clock_wrote_does_not_keep_a_round(worker: Worker, store: Store, token: str) -> None:
    job = worker.request()
    tomorrow = timezone.now() + timedelta(days=1)
    Round.objects.filter(pk=job.pk).update(lease_token=token, lease_until=tomorrow)
    assert leases.claim(job.pk) is None
    with store.staging(str(job.pk)):  # as by a worker that lives
        assert rounds.sweep() == (0 if token else 1)
    Round.objects.filter(pk=job.pk).update(lease_until=tomorrow)
    assert rounds.sweep() == 1
    assert leases.claim(job.pk) is not None


@pytest.mark.parametrize("hours", [6, -6])
def test_a_worker_whose_clock_was_wrong_is_killed_and_the_next_goes_on_at_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    def kill(file: Any) -> None:
        if file.path != "1/weights.bin":  # the largest, which comes first
            raise Killed

    job = worker.request()
    with monkeypatch.context() as wrong:
        set_clock(wrong, hours)
        change_on_open(wrong, kill)
        with pytest.raises(Killed):
            worker.run(job)
    left = fresh(job)
    assert (left.state, bool(left.lease_token), left.attempts) == (states.COPYING, True, 0)
    assert rounds.sweep() == 1
    done = worker.run(job)
    assert (done.state, done.bytes_copied - left.bytes_copied, done.attempts) == (states.DONE, 45, 0)


def test_a_worker_whose_clock_is_behind_is_not_robbed_while_it_lives(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = worker.request()
    original = copying.copy

    def overtaken(*args: Any, **options: Any) -> Any:
        before = fresh(job).lease_token
        with pytest.MonkeyPatch.context() as another:  # for this worker, the lease ran out long ago
            set_clock(another, 0)
            assert leases.is_free(job.pk)
            rounds.sweep()
            rounds.run(job.pk)
        assert fresh(job).lease_token == before
        return original(*args, **options)

    set_clock(monkeypatch, -6)
    monkeypatch.setattr(copying, "copy", overtaken)
    done = worker.run(job)
    assert (done.state, done.bytes_copied) == (states.DONE, done.bytes_total)


def test_the_longest_pause_is_no_longer_than_the_sweep_believes() -> None:
    assert 2 ** (rounds.ATTEMPTS - 1) <= leases.LONGEST_PAUSE


def test_the_sweep_removes_what_ended_rounds_left(worker: Worker, owner: Principal, store: Store) -> None:
    active = worker.request()
    ended = cancel(worker.request(""), actor=owner)
    for name in (str(active.pk), str(ended.pk), "999999"):
        with store.staging(name):
            pass
    rounds.sweep()
    assert store.staging_names() == [str(active.pk)]


def test_a_receiver_that_fails_does_not_hurt_the_round(worker: Worker) -> None:
    def broken(sender: type[Round], **_: Any) -> None:
        raise RuntimeError("not mine")

    round_finished.connect(broken)
    try:
        job = worker.preheat()
    finally:
        round_finished.disconnect(broken)
    assert fresh(job).state == states.DONE
