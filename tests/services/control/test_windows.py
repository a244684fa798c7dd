"""What changes between the moment that something is looked at and the moment that it is decided."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.accounts.principal import Principal
from datasets.actions import trust
from datasets.models import Dataset
from services import states
from services.actions import checks
from services.actions import services as verbs
from services.control import leases, model_files, reconcile
from services.control.queues import claims
from services.models import Replica, Service
from tests.services.watched import Numbers, hung_at
from tests.services.world import ALL, World, preheat_all

Make = Callable[..., Service]
ENGINE = {"env": {"WHO": "somebody"}}
GATEWAY = {"limits": {"concurrency": 4}}


def row(service: Service) -> Service:
    fresh_service: Service = Service.objects.select_related("team", "target", "serving").get(pk=service.pk)
    return fresh_service


@pytest.fixture
def queued(make: Make, world: World) -> Callable[..., Service]:
    """Its files are ready; it waits for quota."""

    def create(**changes: Any) -> Service:
        service = make(**changes)
        reconcile.reconcile(service.pk)
        preheat_all()
        reconcile.reconcile(service.pk)
        assert row(service).state == states.QUEUED
        return row(service)

    return create


def after(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, what: Callable[[], object]) -> None:
    """`what` happens once, just after the first call of that function."""
    call, left = getattr(where, name), [what]

    def both(*args: Any, **named: Any) -> Any:
        result = call(*args, **named)
        if left:
            left.pop()()
        return result

    monkeypatch.setattr(where, name, both)


@pytest.mark.parametrize("change", [ENGINE, GATEWAY], ids=["engine", "gateway"])
@pytest.mark.parametrize("verdict", ["ready", "failed"])
def test_a_verdict_on_the_files_is_not_that_of_the_next_revision(
    change: dict[str, Any], verdict: str, make: Make, world: World, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make()
    reconcile.reconcile(service.pk)
    preheat_all()
    if verdict == "failed":
        old = model_files.ready
        monkeypatch.setattr(
            model_files,
            "ready",
            lambda revision: (
                model_files.Files(failed=True, message="They are broken.") if revision.number == 1 else old(revision)
            ),
        )
    after(monkeypatch, model_files, "ready", lambda: verbs.edit(row(service), change, actor=actor))
    reconcile.reconcile(service.pk)
    assert (row(service).state, row(service).target.number) == (states.PREHEATING, 2)
    assert world.converge(service).state == states.READY


def test_an_edit_hands_its_replicas_over_while_a_step_is_about_to_look_for_strays(
    queued: Make, world: World, actor: Principal
) -> None:
    service = queued()
    world.deaf.add(ALL)
    reconcile.reconcile(service.pk)
    before = row(service)
    assert before.state == states.STARTING
    verbs.edit(row(service), GATEWAY, actor=actor)
    reconcile.start(before)
    assert Replica.objects.get().revision.number == 2
    assert world.engine.stopped == []


def test_one_that_starts_and_has_lost_its_replicas_waits_for_quota_again(queued: Make, world: World) -> None:
    service = queued()
    world.deaf.add(ALL)
    reconcile.reconcile(service.pk)
    Replica.objects.all().delete()
    world.deaf.clear()
    assert world.settle(service).state == states.READY


def test_an_edit_keeps_the_size_that_somebody_chose_while_it_was_checked(
    ready: Make, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ready(resources={"cpu": 0.1})
    after(monkeypatch, checks, "check_spec", lambda: verbs.scale(row(service), 5, actor=actor))
    verbs.edit(row(service), ENGINE, actor=actor)
    assert (row(service).target.number, row(service).replicas) == (2, 5)


def test_files_are_read_before_anything_is_locked(
    queued: Make, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = queued()
    order: list[str] = []
    after(monkeypatch, claims, "claim", lambda: order.append("claim"))
    after(monkeypatch, model_files, "withdrawn", lambda: order.append("files"))
    reconcile.reconcile(service.pk)
    assert order == ["files", "claim"]


def test_trust_that_is_taken_back_after_that_look_counts(
    queued: Make, actor: Principal, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = queued()
    after(monkeypatch, model_files, "withdrawn", lambda: trust.withdraw(dataset, actor=actor))
    reconcile.reconcile(service.pk)
    assert (row(service).state, Replica.objects.count()) == (states.QUEUED, 0)
    reconcile.reconcile(service.pk)
    assert row(service).state == states.FAILED
    assert "is not trusted" in row(service).message


def test_one_that_is_scaled_while_it_is_granted_its_share_is_looked_at_again(
    queued: Make, world: World, actor: Principal
) -> None:
    service = queued(resources={"cpu": 0.1})
    before = row(service)
    verbs.scale(row(service), 2, actor=actor)
    reconcile.admit(before)
    assert row(service).message == claims.CHANGED.reason
    assert world.settle(service).state == states.READY
    assert Replica.objects.count() == 2


def test_a_service_that_comes_to_the_queue_again_has_been_passed_by_nobody(make: Make, world: World) -> None:
    service = make()
    reconcile.reconcile(service.pk)
    Service.objects.update(passed=7, held_at=timezone.now())
    preheat_all()
    reconcile.reconcile(service.pk)
    assert (row(service).state, row(service).passed, row(service).held_at) == (states.QUEUED, 0, None)


def test_the_watchdog_locks_a_service_before_its_replica(numbers: Numbers) -> None:
    numbers.active, numbers.answers = 1, False
    with CaptureQueriesContext(connection) as queries:
        assert hung_at(numbers, *range(0, 33, 3)) == [30]
    statements = [one["sql"] for one in queries]
    taken = next(n for n, sql in enumerate(statements) if sql.startswith("UPDATE") and '"hung_pid"' in sql)
    assert 'FROM "services_service"' in statements[taken - 1]


def test_steps_write_nothing_where_nothing_changes(ready: Make) -> None:
    service = ready()
    with CaptureQueriesContext(connection) as queries:
        reconcile.maintain(row(service))
    assert [one["sql"] for one in queries if one["sql"].startswith(("UPDATE", "INSERT", "DELETE"))] == []


@pytest.mark.parametrize("ending", ["standby", "overtaken"])
def test_the_sweep_hands_over_what_ends_processes(
    ending: str, ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ready()
    if ending == "standby":
        Replica.objects.update(state=Replica.STANDBY, drain_until=timezone.now() - timedelta(seconds=1))
    else:
        old, new = row(service).serving, row(service).serving
        new.pk, new.number = None, 2
        new.save()
        assert old is not None
        Service.objects.update(target=new, serving=new)
    handed: list[int] = []
    reconcile.sweep(hand_over=handed.append)
    assert handed == [service.pk]


def test_a_lease_that_cannot_be_renewed_leaves_the_others(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that renews goes on, whatever the database says."""
    renewed: list[int] = []

    def renew(lease: leases.Lease) -> None:
        if not renewed:
            renewed.append(0)
            raise InterfaceError("connection already closed")
        renewed.append(lease.service_pk)

    one, other = make(name="one"), make(name="two")
    monkeypatch.setattr(leases.Lease, "renew", renew)
    monkeypatch.setattr(leases.connection, "close", lambda: None)
    with leases.lease_of(one.pk) as first, leases.lease_of(other.pk) as second:
        assert first is not None and second is not None
        first.deadline = second.deadline = 0.0
        leases.renew_held()
    assert len(renewed) == 2
