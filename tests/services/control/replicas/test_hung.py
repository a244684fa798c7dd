"""When a replica counts as hung, and what happens to it then. The gateway's numbers and the replica's are given."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.control import publishing
from services.errors import EngineError
from services.models import Event, Replica, Service
from tests.services.watched import Numbers, hung_at
from tests.services.world import World


def test_one_that_answers_nothing_is_taken_out_and_started_again(numbers: Numbers, world: World) -> None:
    numbers.active = numbers.requests = 1
    numbers.answers = False
    before = world.engine.observe(Replica.objects.get().process_name)
    assert hung_at(numbers, *range(0, 33, 3)) == [30]
    replica = Replica.objects.get()
    assert (replica.state, replica.started_at, replica.restarts) == (Replica.UNREADY, None, 1)
    assert world.engine.observe(replica.process_name).pid != before.pid
    assert "hung" in Event.objects.filter(kind="replica").latest("id").message


def test_it_serves_again_once_it_answers(numbers: Numbers, world: World) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, 0, 3, 15, 30) == [30]
    service = world.settle(Service.objects.get())
    assert Replica.objects.get().state == Replica.READY
    assert Replica.objects.get().started_at is not None
    assert service.state == "READY"
    assert not Event.objects.filter(message__contains="ended unexpectedly").exists(), "it was no crash"


def test_the_process_that_hung_does_not_come_back_by_what_it_says_of_itself(
    numbers: Numbers, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its health is fine all the time; here it cannot be started again at first, and the sweep comes by."""
    numbers.active, numbers.answers = 1, False

    def refuse(name: str, *, hangs: bool) -> None:
        raise EngineError("The supervisor is busy.")

    restart = world.engine.restart
    monkeypatch.setattr(world.engine, "restart", refuse)
    assert hung_at(numbers, 0, 3, 15, 30) == [30]
    world.settle(Service.objects.get())
    assert Replica.objects.get().state == Replica.UNREADY
    assert not any(service.endpoints for service in publishing.snapshot().services)
    monkeypatch.setattr(world.engine, "restart", restart)
    assert hung_at(numbers, 33) == []
    world.settle(Service.objects.get())
    assert Replica.objects.get().state == Replica.READY
    assert Replica.objects.get().restarts == 1


def test_one_that_still_computes_is_left_alone(numbers: Numbers) -> None:
    numbers.active = 1
    assert hung_at(numbers, 0, 3, 15, 18, 30) == []
    assert len(numbers.probed) == 1, "and asked again only after as long"


@pytest.mark.parametrize("moving", ["answered", "progress"])
def test_one_that_gets_on_is_not_even_asked(numbers: Numbers, moving: str) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, *range(0, 60, 3), change=lambda step: setattr(numbers, moving, step)) == []
    assert numbers.probed == []


def test_a_stream_that_says_something_now_and_then_is_not_even_asked(numbers: Numbers) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, *range(0, 90, 3), change=lambda step: setattr(numbers, "sent", 120 * (step // 3))) == []


def test_what_may_be_another_replicas_stream_is_no_progress(watched: Numbers, ready: Callable[..., Service]) -> None:
    """The gateway counts what the replicas of a service send together; both have requests here."""
    ready(replicas=2)
    watched.active, watched.answers = 1, False
    assert hung_at(watched, *range(0, 90, 3), change=lambda step: setattr(watched, "sent", 120 * (step // 3))) != []


def test_what_http2_says_to_new_requests_is_no_progress(numbers: Numbers) -> None:
    numbers.answers = False

    def more(step: int) -> None:
        numbers.active = numbers.requests = 10 * step
        numbers.sent = 30 * numbers.requests

    assert hung_at(numbers, *range(0, 36, 3), change=more) == [33]


def test_callers_who_give_up_do_not_hide_a_replica_that_hangs(numbers: Numbers) -> None:
    numbers.answers = False
    assert hung_at(numbers, *range(0, 36, 3), change=lambda step: setattr(numbers, "requests", step)) == [33]


def test_an_idle_replica_is_no_suspect(numbers: Numbers) -> None:
    numbers.answers = False
    assert hung_at(numbers, 0, 3, 15, 300) == []


def test_a_service_may_be_given_longer(numbers: Numbers) -> None:
    revision = Replica.objects.get().revision
    revision.spec["limits"] = {"stall_seconds": 60}
    revision.save()
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, 0, 15, 30, 59, 60, 119, 120) == [120]


def test_a_gateway_that_started_anew_is_looked_at_anew(numbers: Numbers) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, 0, 24, 28, 32, change=lambda step: setattr(numbers, "down", step == 2)) == []


def test_a_request_that_came_after_the_last_look_is_new_however_long_ago_that_was(numbers: Numbers) -> None:
    """The worker was held up for a minute, and the request may be a second old."""
    numbers.answers = False
    assert hung_at(numbers, 0, 60, 63, change=lambda step: setattr(numbers, "active", min(step, 1))) == []
    assert numbers.probed == []
