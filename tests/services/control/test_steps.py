"""What is asked for, or happens, while a step is under way: it counts, although the step had read the row before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.accounts.principal import Principal
from services import states
from services.actions import services as verbs
from services.clients.probes import kserve_v2
from services.clients.probes.kserve_v2 import ProbeResult
from services.control import leases, publishing, reconcile
from services.control.replicas import life as replicas
from services.models import Event, Replica, Service
from tests.services.world import World

Make = Callable[..., Service]
During = Callable[[Callable[[], object]], None]


@pytest.fixture
def during_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> During:
    """Something that happens while a process is being ended, which may take more than a minute."""

    def happen(what: Callable[[], object]) -> None:
        stop = world.engine.stop

        def slow(name: str) -> None:
            stop(name)
            what()

        monkeypatch.setattr(world.engine, "stop", slow)
        monkeypatch.setattr(replicas, "ThreadPoolExecutor", InThisThread)

    return happen


class InThisThread:
    """A thread of its own would not see the test's transaction."""

    def __init__(self, **_options: Any) -> None: ...

    def __enter__(self) -> InThisThread:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def map(self, call: Callable[[str], None], names: list[str]) -> list[None]:
        return [call(name) for name in names]


@pytest.fixture
def no_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message is lost: only the sweep is left."""
    monkeypatch.setattr("services.dispatch.reconcile", lambda pk: None)


def sweep_until(goal: Callable[[], bool]) -> bool:
    return any(reconcile.sweep() >= 0 and goal() for _ in range(10))


def test_a_delete_while_a_stop_ends_counts(
    ready: Make, world: World, actor: Principal, during_the_end: During, no_messages: None
) -> None:
    service = ready()
    during_the_end(lambda: verbs.delete(Service.objects.get(pk=service.pk), actor=actor))
    verbs.stop(service, actor=actor)
    assert sweep_until(lambda: not Service.objects.exists())


def test_a_delete_just_before_it_is_stopped_counts(
    ready: Make, world: World, actor: Principal, no_messages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ready()
    verbs.stop(service, actor=actor)
    assert world.settle(service).state == states.STOPPED
    Service.objects.update(desired="deleted")  # between the last look and the move to STOPPED
    assert sweep_until(lambda: not Service.objects.exists())


def test_a_start_while_a_stop_ends_counts(
    ready: Make, world: World, actor: Principal, during_the_end: During, no_messages: None
) -> None:
    service = ready()
    during_the_end(lambda: verbs.start(Service.objects.get(pk=service.pk), actor=actor))
    verbs.stop(service, actor=actor)
    assert sweep_until(lambda: bool(Service.objects.get().state == states.READY))


def test_a_start_while_it_stops_needs_no_message(
    ready: Make, world: World, actor: Principal, no_messages: None
) -> None:
    service = ready()
    verbs.stop(service, actor=actor)
    assert world.settle(service).state == states.STOPPED
    Service.objects.update(desired="running")
    assert sweep_until(lambda: bool(Service.objects.get().state == states.READY))


def test_one_that_was_stopped_is_not_looked_at_by_every_sweep(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.stop(service, actor=actor)
    world.settle(service)
    assert reconcile.sweep() == 0


def while_it_is_probed(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object], answer: ProbeResult) -> None:
    def probe(*_where: object, **_how: object) -> ProbeResult:
        what()
        return answer

    monkeypatch.setattr(kserve_v2, "probe", probe)


@pytest.mark.parametrize("answer", [ProbeResult(True, ""), ProbeResult(False, "Nobody answers.")])
def test_a_replica_that_drains_since_it_was_read_goes_on_draining(
    answer: ProbeResult, ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready()
    replica = Replica.objects.select_related("revision", "service").get()
    world.engine.restart(replica.process_name)
    while_it_is_probed(monkeypatch, lambda: replicas.drain(Replica.objects.get()), answer)
    replicas.refresh(replica)
    assert Replica.objects.get().state == replica.state == Replica.DRAINING


def test_a_first_answer_does_not_bring_back_a_replica_that_drains(
    ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready()
    Replica.objects.update(started_at=None, state=Replica.STARTING)
    replica = Replica.objects.select_related("revision", "service").get()
    while_it_is_probed(monkeypatch, lambda: replicas.drain(Replica.objects.get()), ProbeResult(True, ""))
    replicas.refresh(replica)
    now = Replica.objects.get()
    assert (now.state, now.started_at) == (Replica.DRAINING, None)


@pytest.mark.parametrize("answer", [ProbeResult(True, ""), ProbeResult(False, "Nobody answers.")])
def test_a_late_look_writes_over_no_newer_process(
    answer: ProbeResult, ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready()
    replica = Replica.objects.select_related("revision", "service").get()
    newer = {"pid": 4711, "well_pid": 4711, "message": "A newer one."}
    while_it_is_probed(monkeypatch, lambda: Replica.objects.update(**newer), answer)
    Replica.objects.update(message="Before.")
    replicas.refresh(replica)
    now = Replica.objects.get()
    assert (now.state, now.pid, now.message) == (Replica.READY, 4711, "A newer one.")


def test_an_end_that_somebody_else_has_noted_is_no_second_event(
    ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready()
    replica = Replica.objects.select_related("revision", "service").get()
    world.engine.restart(replica.process_name)
    Replica.objects.update(pid=0, well_pid=0, hung_pid=replica.pid, restarts=1, state=Replica.UNREADY)
    replicas.refresh(replica)
    assert not Event.objects.filter(kind="replica").exists()
    assert Replica.objects.get().restarts == 1


def test_a_lease_is_renewed_while_a_long_step_goes_on(
    make: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make()
    seen: list[bool] = []

    def step(slow: Service) -> None:
        (lease,) = leases._held
        before = lease.until
        lease.deadline -= 50
        leases.renew_held()
        now = Service.objects.get(pk=slow.pk)
        assert before is not None
        seen.append(now.lease_until == lease.until > before)
        leases.check()

    monkeypatch.setattr(leases.connection, "close", lambda: None)
    monkeypatch.setitem(reconcile.STEPS, states.PREHEATING, step)
    reconcile.reconcile(service.pk)
    assert seen == [True]
    assert Service.objects.get(pk=service.pk).lease_until is None


def test_a_fresh_lease_is_not_renewed(make: Make, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(_service: Service) -> None:
        (lease,) = leases._held
        before = lease.until
        leases.renew_held()
        assert lease.until == before

    monkeypatch.setitem(reconcile.STEPS, states.PREHEATING, step)
    reconcile.reconcile(make().pk)


WRITES: dict[str, Callable[[Service], object]] = {
    "a state": lambda service: reconcile.fail(service, "It is late."),
    "a message": lambda service: reconcile.say(service, "It is late."),
    "a replica": lambda service: replicas.refresh(service.replica_set.select_related("revision", "service").get()),
    "a drain": lambda service: replicas.drain(service.replica_set.get()),
    "an end": lambda service: replicas.end(list(service.replica_set.select_related("revision", "service"))),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_step_that_lost_its_lease_writes_nothing(
    write: str, ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ready()
    successors = timezone.now() + timedelta(seconds=60)

    def step(slow: Service) -> None:
        world.engine.restart("svc-echo-r1-0")
        (lease,) = leases._held
        lease.deadline = 0.0  # the process stood still for longer than its lease
        Service.objects.filter(pk=slow.pk).update(lease_until=successors)
        WRITES[write](slow)

    monkeypatch.setitem(reconcile.STEPS, states.READY, step)
    before = list(Service.objects.values_list("state", "message")), list(Replica.objects.values_list("state", "pid"))
    assert not reconcile.reconcile(service.pk)
    after = list(Service.objects.values_list("state", "message")), list(Replica.objects.values_list("state", "pid"))
    assert after == before
    assert not world.engine.stopped
    assert Service.objects.get().lease_until == successors


def test_a_switch_does_not_count_once_another_revision_is_the_target(
    ready: Make, world: World, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ready(resources={"cpu": 1})
    verbs.restart(service, actor=actor)
    world.deaf.add("svc-echo-r2-0")
    service = world.converge(service)

    def overtake() -> None:
        if Service.objects.get().target.number == 2:
            verbs.edit(Service.objects.get(), {"env": {"LEVEL": "3"}}, actor=actor)

    while_it_is_probed(monkeypatch, overtake, ProbeResult(True, ""))
    reconcile.reconcile(service.pk)
    now = Service.objects.get()
    assert (now.serving.number, now.target.number) == (1, 3)


def test_no_share_is_claimed_for_a_service_that_was_stopped_meanwhile(
    ready: Make, world: World, actor: Principal
) -> None:
    from services.control.queues import claims

    read = ready()
    verbs.stop(Service.objects.get(), actor=actor)
    assert not claims.claim(read, read.serving, [1]).granted
    assert Replica.objects.count() == 1


def test_the_gateway_is_told_before_anybody_is_told_ready(
    make: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_states: list[str] = []

    def open_up(service: Service, rows: object) -> str:
        service_states.append(Service.objects.get().state)
        return ""

    monkeypatch.setattr(publishing, "open_up", open_up)
    world.converge(make())
    assert service_states == [states.STARTING]
