"""A preheat round from request to published tree, and everything that can come in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from console import dispatch as console_dispatch
from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields
from datasets import states, wiring
from datasets.actions import datasets, rounds
from datasets.actions.rounds import cancel, request_round
from datasets.jobs import leases
from datasets.jobs import rounds as jobs
from datasets.jobs.leases import Lease, LeaseLost
from datasets.models import Dataset, Round
from datasets.preheat.copying import copy as copying
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import Store
from datasets.sources.local.source import LocalSource
from tests.datasets.looking import expire, fresh
from tests.datasets.worker import Worker

pytestmark = pytest.mark.django_db


def test_a_round_publishes_a_verified_copy(worker: Worker, store: Store, finished: list[tuple[int, str]]) -> None:
    job = worker.request()
    assert (job.state, job.requested_by, job.node) == (states.PENDING, "alice", "local")
    done = worker.run(job)
    assert done.state == states.DONE
    assert (done.files_done, done.files_total, done.bytes_done) == (3, 3, done.bytes_total)
    assert done.bytes_copied == done.bytes_total
    tree = wiring.tree_of(done)
    assert tree is not None
    assert (tree.path / "1" / "model.py").read_text() == "print('hello')\n"
    assert upkeep.verify(store, done.tree) == []
    assert store.staging_names() == []
    assert finished == [(job.pk, states.DONE)]


def test_a_single_file_becomes_a_tree_with_that_file(worker: Worker) -> None:
    job = worker.preheat("svm/1/model.py")
    tree = wiring.tree_of(fresh(job))
    assert tree is not None
    assert [path.name for path in tree.path.iterdir()] == ["model.py"]


def test_the_same_content_asked_for_twice_is_copied_once(worker: Worker, store: Store) -> None:
    first = worker.preheat()
    again = worker.request("svm/")
    assert again.pk != first.pk
    second = worker.run(again)
    assert (second.state, second.tree, second.bytes_copied) == (states.DONE, fresh(first).tree, 0)
    assert second.bytes_done == second.bytes_total
    assert len(list((store.root / "blobs").glob("*/*"))) == 3


def test_what_the_files_say_is_kept_beside_the_tree_and_goes_with_it(worker: Worker, store: Store) -> None:
    job = worker.preheat()
    (kept,) = (store.root / "reports").iterdir()
    assert kept.name.startswith(fresh(job).tree)
    assert any("Triton" in line for line in job.lines.values_list("text", flat=True))
    upkeep.evict(store, set(), not_used_since=timezone.now().timestamp() + 1)
    assert list((store.root / "reports").iterdir()) == []


def test_an_evicted_tree_is_copied_again(worker: Worker, store: Store) -> None:
    first = worker.preheat()
    upkeep.evict(store, set(), not_used_since=timezone.now().timestamp() + 1)
    assert wiring.tree_of(fresh(first)) is None
    again = worker.request()
    assert wiring.tree_of(worker.run(again)) is not None


def test_a_second_request_gets_the_round_that_is_under_way(worker: Worker, dataset: Dataset, owner: Principal) -> None:
    first = worker.request()
    assert request_round(dataset, "/".join(["svm", ""]), actor=owner) == first
    assert worker.request("") != first


def test_of_two_requests_at_the_same_moment_one_makes_the_round(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = worker.request()
    answers = iter([None, first])  # the second request did not see the first one's row yet
    monkeypatch.setattr(rounds, "_active_round", lambda *_: next(answers))
    assert worker.request() == first
    assert Round.objects.count() == 1


def test_a_request_is_put_on_the_queue_when_it_is_committed(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    sent: list[tuple[str, tuple[Any, ...]]] = []
    monkeypatch.setattr(console_dispatch, "send", lambda name, args, expires: sent.append((name, args)))
    with django_capture_on_commit_callbacks(execute=True):
        job = worker.request()
        assert sent == []
    assert sent == [("datasets.run_round", (job.pk,))]


@pytest.mark.parametrize("path", ["../secret", "/etc", "svm/../../x", "nothing/here", "a\0b", "x" * 1025])
def test_a_path_that_cannot_be_is_refused_at_once(worker: Worker, path: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        worker.request(path)
    assert set(caught.value.errors) == {"path"}
    assert not Round.objects.exists()


def test_a_waiting_round_is_cancelled_at_once(
    worker: Worker,
    owner: Principal,
    finished: list[tuple[int, str]],
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    job = worker.request()
    with django_capture_on_commit_callbacks(execute=True):
        cancelled = cancel(job, actor=owner)
    assert (cancelled.state, cancelled.message) == (states.CANCELLED, "Cancelled by alice.")
    assert finished == [(job.pk, states.CANCELLED)]
    worker.run(job)  # its message arrives late
    assert fresh(job).state == states.CANCELLED


@pytest.mark.parametrize("stage", ["plan", "copy", "publish"])
def test_a_round_is_cancelled_at_every_stage(
    worker: Worker, owner: Principal, store: Store, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.0)
    job = worker.request()
    place: tuple[Any, str] = {
        "plan": (LocalSource, "plan"),
        "copy": (copying, "copy"),
        "publish": (Store, "publish"),
    }[stage]
    original = getattr(*place)

    def cancelled_meanwhile(*args: Any, **options: Any) -> Any:
        cancel(job, actor=owner)
        return original(*args, **options)

    monkeypatch.setattr(*place, cancelled_meanwhile)
    assert worker.run(job).state == states.CANCELLED
    assert not (store.root / "trees").exists()
    assert store.staging_names() == []


def test_a_round_that_is_over_cannot_be_cancelled(worker: Worker, owner: Principal) -> None:
    job = worker.preheat()
    with pytest.raises(Conflict, match="over already: done"):
        cancel(job, actor=owner)


def test_cancelling_twice_is_cancelling_once(worker: Worker, owner: Principal) -> None:
    job = worker.request()
    assert cancel(job, actor=owner).state == states.CANCELLED
    assert cancel(job, actor=owner).state == states.CANCELLED


def test_a_message_delivered_twice_does_nothing(worker: Worker, owner: Principal) -> None:
    job = worker.request()
    assert leases.claim(job.pk) is not None
    assert leases.claim(job.pk) is None
    assert worker.run(job).state == states.PENDING  # the owner of the lease is at work, this worker was not
    before = worker.attempt(job)
    assert (before.state, worker.run(job).finished_at) == (states.DONE, before.finished_at)


def test_a_round_of_another_node_is_left_alone(worker: Worker) -> None:
    job = worker.request()
    Round.objects.filter(pk=job.pk).update(node="elsewhere")
    assert leases.claim(job.pk) is None
    assert jobs.sweep() == 0


def test_a_worker_that_lost_its_lease_publishes_nothing(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch, finished: list[tuple[int, str]]
) -> None:
    job = worker.request()
    original = Store.publish

    def overtaken(*args: Any, **options: Any) -> Any:
        Round.objects.filter(pk=job.pk).update(lease_token="another")
        return original(*args, **options)

    monkeypatch.setattr(Store, "publish", overtaken)
    job = worker.run(job)
    assert (job.state, job.tree) == (states.VERIFYING, "")
    assert not (store.root / "trees").exists()
    assert finished == []


def test_a_zombie_can_neither_finish_nor_write_progress(worker: Worker) -> None:
    job = worker.request()
    token = leases.claim(job.pk)
    assert token is not None
    zombie = Lease(job.pk, token)
    expire(job)
    assert leases.claim(job.pk) is not None
    for write in (zombie.write, zombie.check, lambda: zombie.finish(states.DONE), lambda: zombie.release(wait=1)):
        with pytest.raises(LeaseLost):
            write()
    assert fresh(job).state == states.PENDING


def test_a_deleted_dataset_stops_the_worker(
    worker: Worker, dataset: Dataset, owner: Principal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.0)
    job = worker.request()
    original = copying.copy

    def deleted_meanwhile(*args: Any, **options: Any) -> Any:
        datasets.delete(dataset, actor=owner)
        return original(*args, **options)

    monkeypatch.setattr(copying, "copy", deleted_meanwhile)
    jobs.run(job.pk)
    assert not (store.root / "trees").exists()
    jobs.sweep()
    assert store.staging_names() == []
