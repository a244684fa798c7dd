"""What the sweep survives: services that cannot be reconciled, and workers that took too long."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from console import dispatch as console_dispatch
from console.accounts.principal import Principal
from services import states, tasks
from services.actions import services as verbs
from services.control import reconcile
from services.engines import base
from services.engines.base import Observation
from services.models import Service
from tests.services.world import World

Make = Callable[..., Service]


def test_a_service_that_cannot_be_reconciled_keeps_no_other_waiting(
    make: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make(name="bad"), make(name="good")
    first = reconcile.STEPS[states.PREHEATING]

    def step(service: Service) -> None:
        if service.pk == bad.pk:
            raise OSError("No space left on device")
        first(service)

    monkeypatch.setitem(reconcile.STEPS, states.PREHEATING, step)
    assert reconcile.sweep() == 2
    assert Service.objects.get(pk=good.pk).target.round is not None
    assert Service.objects.get(pk=bad.pk).lease_until is None


def test_with_more_services_than_one_sweep_looks_at_none_is_left_out(make: Make, world: World) -> None:
    services = [make(name=name) for name in ("one", "two", "three")]
    for _ in range(60):
        reconcile.sweep(limit=1)
    for service in services:
        assert Service.objects.get(pk=service.pk).target.round is not None


def test_services_that_take_their_time_to_end_keep_no_other_waiting(
    ready: Make, make: Make, world: World, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [ready(name=f"slow-{number}", resources={"cpu": 0.1}) for number in range(3)]
    for service in slow:
        verbs.stop(service, actor=actor)
    good = make(name="good")
    monkeypatch.setattr(world.engine, "stop", lambda name: pytest.fail(f"the sweep waits for {name}"))
    handed: list[int] = []
    reconcile.sweep(hand_over=handed.append)
    assert sorted(handed) == sorted(service.pk for service in slow)
    assert Service.objects.get(pk=good.pk).target.round is not None


def test_processes_that_no_service_knows_keep_the_sweep_waiting_no_more_than_services_do(
    ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready()
    names = [f"svc-ghost-r1-{number}" for number in range(3)]
    world.engine.running |= {name: Observation(base.RUNNING, pid=7) for name in names}
    sent: list[str] = []
    monkeypatch.setattr(console_dispatch, "on_commit", lambda task, *_, **__: sent.append(task))
    stop = world.engine.stop
    monkeypatch.setattr(world.engine, "stop", lambda name: pytest.fail(f"the sweep waits for {name}"))
    tasks.sweep()
    assert "services.end_unknown" in sent

    all_at_once = threading.Barrier(len(names))

    def slow(name: str) -> None:
        all_at_once.wait(30)
        stop(name)

    monkeypatch.setattr(world.engine, "stop", slow)
    tasks.end_unknown()
    assert sorted(world.engine.stopped) == names and list(world.engine.running) == ["svc-echo-r1-0"]
    sent.clear()
    tasks.sweep()
    assert "services.end_unknown" not in sent


def test_a_worker_that_ends_enough_processes_leaves_unknown_ones_to_the_next_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.engine.running["svc-ghost-r1-0"] = Observation(base.RUNNING, pid=7)
    monkeypatch.setattr(tasks, "ENDING", threading.BoundedSemaphore(1))
    with tasks.ENDING:
        tasks.end_unknown()
    assert world.engine.stopped == []


def test_only_so_many_threads_of_the_worker_end_processes(
    ready: Make, make: Make, world: World, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = verbs.stop(ready(), actor=actor)
    good = make(name="good")
    monkeypatch.setattr(tasks, "ENDING", threading.BoundedSemaphore(1))
    with tasks.ENDING:  # another thread ends a process that does not listen
        for _ in range(3):
            tasks.reconcile_one(service.pk)
        tasks.reconcile_one(good.pk)
        assert world.engine.stopped == []
        assert Service.objects.get(pk=good.pk).target.round is not None
    for _ in range(3):
        tasks.reconcile_one(service.pk)
    assert world.engine.stopped == ["svc-echo-r1-0"]


def test_files_that_are_gone_are_said_on_the_service(ready: Make, world: World) -> None:
    service = ready()
    world.engine.running.clear()  # the process ended, and the files that a new one needs were removed
    trees = settings.HOME.store / "trees"
    for tree in trees.iterdir():
        tree.chmod(0o755)
        for folder in (path for path in tree.rglob("*") if path.is_dir()):
            folder.chmod(0o755)
        shutil.rmtree(tree)
    world.settle(service)
    service.refresh_from_db()
    assert "are no longer in the store" in service.message
    assert service.lease_until is None


def test_a_worker_that_took_too_long_does_not_end_its_successors_lease(
    make: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make()
    successors = timezone.now() + timedelta(seconds=60)

    def step(slow: Service) -> None:
        Service.objects.filter(pk=slow.pk).update(lease_until=successors)

    monkeypatch.setitem(reconcile.STEPS, states.PREHEATING, step)
    reconcile.reconcile(service.pk)
    service.refresh_from_db()
    assert service.lease_until == successors
