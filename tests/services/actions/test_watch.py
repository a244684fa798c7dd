"""When a replica counts as hung, and what happens to it then. The gateway's numbers and the replica's are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from services.actions import publishing, watch
from services.clients import connections
from services.clients.connections import Held
from services.errors import EngineError, GatewayError
from services.frameworks.triton.framework import Triton
from services.gateway import status
from services.gateway.status import ReplicaHealth
from services.models import Event, Replica, Service
from services.specs import Ports
from tests.services.actions.world import World


@dataclass
class Numbers:
    """What is seen of the one replica that the tests have."""

    requests: int = 0
    answered: int = 0
    active: int = 0
    progress: float = 0.0
    sent: int = 0
    answers: bool = True
    asked: list[int] = field(default_factory=list)
    down: bool = False

    def health(self, port: int) -> list[ReplicaHealth]:
        if self.down:
            raise GatewayError("The gateway is not running.")
        return [ReplicaHealth("echo", "http", f"127.0.0.1:{port}", True, self.requests, 0, self.active, self.answered)]


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch, ready: Callable[..., Service]) -> Numbers:
    made = Numbers()
    port = ready().replica_set.get().http_port
    watch._seen.clear()

    def answers(self: Triton, host: str, ports: Ports, service: str, timeout: float) -> bool:
        made.asked.append(ports.http)
        return made.answers

    monkeypatch.setattr(status, "replicas", lambda gateway_dir: made.health(port))
    monkeypatch.setattr(Triton, "answers", answers)
    monkeypatch.setattr(Triton, "progress", lambda self, host, ports, timeout: made.progress)
    monkeypatch.setattr(connections, "held", lambda ports: Held(1, made.sent))
    return made


def hung_at(numbers: Numbers, *moments: float, change: Callable[[int], None] = lambda step: None) -> list[float]:
    """At which of these moments a replica was found hung."""
    found = []
    for step, moment in enumerate(moments):
        change(step)
        if watch.watch(moment):
            found.append(moment)
    return found


def test_one_that_answers_nothing_is_taken_out_and_started_again(numbers: Numbers, world: World) -> None:
    numbers.active = numbers.requests = 1
    numbers.answers = False
    before = world.engine.observe(Replica.objects.get().process_name)
    assert hung_at(numbers, 0, 3, 6, 9, 12, 15) == [15]
    replica = Replica.objects.get()
    assert (replica.state, replica.started_at, replica.restarts) == (Replica.UNREADY, None, 1)
    assert world.engine.observe(replica.process_name).pid != before.pid
    assert "hung" in Event.objects.filter(kind="replica").latest("id").message


def test_it_serves_again_once_it_answers(numbers: Numbers, world: World) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, 0, 3, 15) == [15]
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

    def refuse(name: str) -> None:
        raise EngineError("The supervisor is busy.")

    restart = world.engine.restart
    monkeypatch.setattr(world.engine, "restart", refuse)
    assert hung_at(numbers, 0, 3, 15) == [15]
    world.settle(Service.objects.get())
    assert Replica.objects.get().state == Replica.UNREADY
    assert not any(service.endpoints for service in publishing.snapshot().services)
    monkeypatch.setattr(world.engine, "restart", restart)
    assert hung_at(numbers, 18) == []
    world.settle(Service.objects.get())
    assert Replica.objects.get().state == Replica.READY
    assert Replica.objects.get().restarts == 1


def test_one_that_still_computes_is_left_alone(numbers: Numbers) -> None:
    numbers.active = 1
    assert hung_at(numbers, 0, 3, 15, 18, 30) == []
    assert len(numbers.asked) == 1, "and asked again only after as long"


@pytest.mark.parametrize("moving", ["answered", "progress"])
def test_one_that_gets_on_is_not_even_asked(numbers: Numbers, moving: str) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, *range(0, 60, 3), change=lambda step: setattr(numbers, moving, step)) == []
    assert numbers.asked == []


def test_a_stream_that_says_something_now_and_then_is_not_even_asked(numbers: Numbers) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, *range(0, 90, 3), change=lambda step: setattr(numbers, "sent", 120 * (step // 3))) == []


def test_what_http2_says_to_new_requests_is_no_progress(numbers: Numbers) -> None:
    numbers.answers = False

    def more(step: int) -> None:
        numbers.active = numbers.requests = 10 * step
        numbers.sent = 30 * numbers.requests

    assert hung_at(numbers, *range(0, 30, 3), change=more) == [15]


def test_callers_who_give_up_do_not_hide_a_replica_that_hangs(numbers: Numbers) -> None:
    numbers.answers = False
    assert hung_at(numbers, 0, 3, 6, 9, 12, 15, 18, change=lambda step: setattr(numbers, "requests", step)) == [15]


def test_an_idle_replica_is_no_suspect(numbers: Numbers) -> None:
    numbers.answers = False
    assert hung_at(numbers, 0, 3, 15, 300) == []


def test_a_service_may_be_given_longer(numbers: Numbers) -> None:
    revision = Replica.objects.get().revision
    revision.spec["limits"] = {"stall_seconds": 60}
    revision.save()
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, 0, 15, 30, 59, 60) == [60]


def test_a_gateway_that_started_anew_is_looked_at_anew(numbers: Numbers) -> None:
    numbers.active, numbers.answers = 1, False
    assert hung_at(numbers, 0, 12, 14, 16, change=lambda step: setattr(numbers, "down", step == 2)) == []
