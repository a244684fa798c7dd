"""A replica that ends each time it is started: given up before its revision served, tried again for ever after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.accounts.principal import Principal
from services import states
from services.actions import services as verbs
from services.control import publishing
from services.control.replicas import retries
from services.engines import base
from services.engines.base import Observation
from services.errors import EngineError, ModelError
from services.models import Event, Queue, Replica, Service
from services.policies.admission import ordinal
from tests.services.watched import Numbers, hung_at
from tests.services.world import ALL, ALL_BUT_THE_FIRST, World

Make = Callable[..., Service]
NAME = "svc-echo-r1-0"
GAVE_UP = Observation(base.FAILED, message="It ended each time it was started.")


def give_up(world: World, name: str = NAME) -> None:
    world.engine.running[name] = GAVE_UP


def is_due(**columns: Any) -> None:
    Replica.objects.update(retry_at=timezone.now() - timedelta(seconds=1), **columns)


def test_a_crash_loop_after_it_served_is_tried_again_for_ever(ready: Make, world: World) -> None:
    service = ready()
    for attempt in range(1, 9):
        give_up(world)
        service = world.settle(service)
        replica = Replica.objects.get()
        assert (service.state, replica.state, replica.attempts) == (states.DEGRADED, Replica.BACKOFF, attempt)
        assert replica.retry_at is not None and replica.retry_at > timezone.now()
        is_due()
        world.settle(service)
        assert Replica.objects.get().state == Replica.READY
    assert Service.objects.get().state == states.READY
    assert world.engine.retries[1:] == [0] * 8, "one start each"
    assert Event.objects.filter(message__contains="ends each time").count() == 1, "one event for the series"


def test_the_page_says_why_and_when_next(ready: Make, world: World) -> None:
    service = ready()
    give_up(world)
    service = world.settle(service)
    replica = Replica.objects.get()
    assert replica.retry_at is not None
    next_start = f"It is started again at {replica.retry_at:%H:%M:%S} UTC, for the 1st time."
    assert replica.message == f"It ended each time it was started. {next_start}"
    assert service.message == f"0 of 1 replicas answer. Replica 0: {replica.message}"


def test_it_is_not_tried_before_its_time(ready: Make, world: World) -> None:
    service = ready()
    give_up(world)
    service = world.settle(service)
    planned = Replica.objects.get().retry_at
    world.settle(service)
    assert len(world.engine.applied) == 1
    assert Replica.objects.get().retry_at == planned


def test_the_gateway_keeps_its_endpoint(ready: Make, world: World) -> None:
    service = ready()
    give_up(world)
    world.settle(service)
    [row] = publishing.snapshot().services
    assert (row.ready, len(row.endpoints)) == (True, 1), "Envoy answers 503 with Retry-After until it is back"


def test_the_pause_grows_to_thirty_times_the_first_and_no_further(settings: Any) -> None:
    settings.REPLICA_RETRY_SECONDS = 10
    pauses = [retries.pause(attempt) for attempt in range(1, 2000)]
    assert all(timedelta(seconds=10) <= each <= timedelta(seconds=300) for each in pauses)
    assert pauses[0] < timedelta(seconds=13)
    assert all(each >= timedelta(seconds=240) for each in pauses[5:])
    assert len(set(pauses[10:])) > 100, "with jitter"


def test_a_series_is_over_once_it_stayed_up(ready: Make, world: World) -> None:
    service = ready()
    give_up(world)
    world.settle(service)
    is_due(attempts=7)
    world.settle(service)
    assert Replica.objects.get().attempts == 7, "up, and not for long"
    running = world.engine.running[NAME]
    world.engine.running[NAME] = Observation(base.RUNNING, pid=running.pid, uptime=301)
    world.settle(service)
    assert Replica.objects.get().attempts == 0


def test_with_one_of_two_in_a_crash_loop_the_other_serves(ready: Make, world: World) -> None:
    service = ready(replicas=2)
    give_up(world)
    service = world.settle(service)
    assert service.state == states.DEGRADED
    assert [row.state for row in Replica.objects.order_by("index")] == [Replica.BACKOFF, Replica.READY]


def stop_and_start(world: World, service: Service, actor: Principal) -> Service:
    """The row as it is while its replicas start."""
    verbs.stop(service, actor=actor)
    service = world.settle(service)
    assert service.state == states.STOPPED
    world.deaf.add(ALL)
    verbs.start(service, actor=actor)
    return world.converge(service)


def test_one_that_served_before_it_was_stopped_is_never_given_up(ready: Make, world: World, actor: Principal) -> None:
    service = stop_and_start(world, ready(), actor)
    for attempt in range(1, 9):
        give_up(world)
        service = world.settle(service)
        replica = Replica.objects.get()
        assert (service.state, replica.state, replica.attempts) == (states.STARTING, Replica.BACKOFF, attempt)
        assert replica.retry_at is not None and replica.retry_at > timezone.now()
        next_start = f"It is started again at {replica.retry_at:%H:%M:%S} UTC, for the {ordinal(attempt)} time."
        assert service.message == f"0 of 1 replicas answer. It ended each time it was started. {next_start}"
        is_due()
        world.settle(service)
    assert Event.objects.filter(message__contains="ends each time").count() == 1, "one event for the series"
    world.deaf.clear()
    assert world.settle(service).state == states.READY


def test_a_person_can_stop_one_that_is_tried_again(ready: Make, world: World, actor: Principal) -> None:
    service = stop_and_start(world, ready(), actor)
    give_up(world)
    verbs.stop(world.settle(service), actor=actor)
    assert world.settle(service).state == states.STOPPED
    assert not Replica.objects.exists(), "nothing is claimed"


def test_a_slow_start_of_one_that_served_is_not_given_up(
    ready: Make, world: World, watched: Numbers, actor: Principal
) -> None:
    service = stop_and_start(world, ready(), actor)
    watched.answers = False
    Replica.objects.update(created_at=timezone.now() - timedelta(hours=10))
    assert world.settle(service).state == states.STARTING
    assert hung_at(watched, *range(0, 66, 3)) == [60], "the watchdog starts it again"
    assert world.settle(service).state == states.STARTING


def test_one_of_two_serves_while_the_other_is_tried_again(ready: Make, world: World, actor: Principal) -> None:
    service = stop_and_start(world, ready(replicas=2), actor)
    world.deaf.clear()
    world.engine.running[NAME] = GAVE_UP
    service = world.settle(service)
    assert service.state == states.DEGRADED and service.message.startswith("1 of 2 replicas answer.")
    [row] = publishing.snapshot().services
    assert (row.ready, len(row.endpoints)) == (True, 1)
    is_due()
    assert world.settle(service).state == states.READY


@pytest.mark.parametrize("changes", [{"limits": {"concurrency": 3}}, {"queue": "second"}], ids=str)
def test_a_revision_that_took_over_its_processes_has_served_too(
    ready: Make, world: World, actor: Principal, changes: dict[str, Any]
) -> None:
    Queue.objects.create(name="second", cpu=4, memory_gib=8)
    service = verbs.edit(ready(), changes, actor=actor)
    service = world.settle(service)
    assert service.serving is not None and service.serving.number == 2
    service = stop_and_start(world, service, actor)
    give_up(world)
    assert world.settle(service).state == states.STARTING


def test_an_edit_of_a_stopped_service_is_a_first_start(ready: Make, world: World, actor: Principal) -> None:
    service = verbs.stop(ready(), actor=actor)
    service = world.settle(service)
    verbs.edit(service, {"resources": {"cpu": 0.5}}, actor=actor)
    service = stop_and_start(world, service, actor)
    give_up(world, "svc-echo-r2-0")
    assert world.settle(service).state == states.FAILED


def test_a_replica_of_a_scaled_service_is_tried_again_too(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.scale(service, 2, actor=actor)
    world.deaf.add(ALL_BUT_THE_FIRST)
    world.settle(service)
    give_up(world, "svc-echo-r1-1")
    world.settle(service)
    assert Replica.objects.get(index=1).state == Replica.BACKOFF


def test_a_revision_that_never_served_is_given_up_and_the_old_one_serves(
    ready: Make, world: World, actor: Principal
) -> None:
    service = ready()
    world.deaf.add(ALL_BUT_THE_FIRST)
    verbs.restart(service, actor=actor)
    world.converge(service)
    give_up(world, "svc-echo-r2-0")
    service = world.settle(service)
    assert service.state == states.READY
    assert [row.revision.number for row in Replica.objects.all()] == [1]
    assert service.revisions.get(number=2).failed


@pytest.mark.parametrize("error", [ModelError("The files are gone."), EngineError("Cannot prepare it: no room.")])
def test_one_that_cannot_be_started_now_is_tried_with_each_look(
    ready: Make, world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    service = ready()
    world.engine.running.clear()

    def refuse(spec: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(world.engine, "apply", refuse)
        service = world.settle(service)
        assert service.state == states.DEGRADED
        assert str(error) in service.message
    assert world.settle(service).state == states.READY


def test_an_engine_that_is_away_changes_nothing(ready: Make, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service = ready()

    def away(name: str) -> Observation:
        raise EngineError("The process supervisor is not running; start it with `make run`.")

    before = list(Replica.objects.values())
    with monkeypatch.context() as patched:
        patched.setattr(world.engine, "observe", away)
        service = world.settle(service)
    assert service.state == states.READY
    assert "supervisor is not running" in service.message
    assert list(Replica.objects.values()) == before
    assert world.settle(service).message == ""


def test_an_end_that_is_seen_half_way_is_an_event_all_the_same(ready: Make, world: World) -> None:
    """The supervisor is between two starts when the control loop comes by."""
    service = ready()
    world.engine.running[NAME] = Observation(base.BACKOFF, message="It ended; starting it again.")
    world.settle(service)
    world.engine.running[NAME] = Observation(base.RUNNING, pid=4711, uptime=1)
    world.settle(service)
    assert Event.objects.filter(message__contains="ended unexpectedly").count() == 1
    assert Replica.objects.get().restarts == 1


def test_a_crash_loop_after_starts_that_hung_is_an_event_too(ready: Make, world: World) -> None:
    service = ready()
    Replica.objects.update(attempts=2)
    give_up(world)
    world.settle(service)
    assert Event.objects.filter(message__contains="ends each time").count() == 1
