"""The table "The life of a replica" of docs/services.md, row by row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from console.accounts.principal import Principal
from console.home import CHECKOUT
from services import states
from services.actions import services as verbs
from services.control import publishing, reconcile
from services.control.replicas import hung as hung_replicas
from services.control.replicas import life as replicas
from services.engines import base
from services.engines.base import Observation
from services.errors import EngineError
from services.models import Event, Replica, Service
from services.specs import RECREATE
from tests.services.watched import Numbers, hung_at
from tests.services.world import ALL, ALL_BUT_THE_FIRST, World

Make = Callable[..., Service]
NAME = "svc-echo-r1-0"
LOOKS = range(0, 120, 5)


def rows(column: int = 1) -> list[str]:
    lines = (CHECKOUT / "docs" / "services.md").read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("| a replica is |"))
    cells = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        cells.append(line.split("|")[column].strip())
    return cells


class Life:
    """One way into each row, and what must be so there."""

    def __init__(self, world: World, make: Make, ready: Make, numbers: Numbers, actor: Principal) -> None:
        self.world, self.make, self.ready, self.numbers, self.actor = world, make, ready, numbers, actor

    def endpoints(self) -> int:
        """That the gateway has, whatever Envoy's own health checks say."""
        return sum(len(service.endpoints) for service in publishing.snapshot().services)

    def never_up(self) -> Service:
        service = self.world.preheat(self.make())
        self.world.deaf.add(ALL)
        return self.world.settle(service)

    def restarted(self) -> bool:
        return self.world.engine.running[NAME].pid != 1001

    def waiting(self) -> None:
        service = self.world.preheat(self.make())
        for _ in (states.QUEUED, states.STARTING):
            reconcile.reconcile(service.pk)
        assert hung_at(self.numbers, *LOOKS) == []
        assert Replica.objects.get().state == Replica.PENDING
        assert (self.world.engine.applied, self.endpoints()) == ([], 0)
        assert self.world.settle(service).state == states.READY

    def on_standby(self) -> None:
        """There is no room for a second one beside it."""
        service = self.ready(resources={"cpu": 3})
        self.world.deaf.add(ALL_BUT_THE_FIRST)
        verbs.edit(service, {"env": {"NEW": "1"}, "strategy": RECREATE}, actor=self.actor)
        self.world.converge(service)
        old = Replica.objects.get(revision__number=1)
        assert (old.state, old.drain_until, self.endpoints()) == (Replica.STANDBY, None, 0)
        assert NAME not in self.world.engine.running
        self.world.engine.running["svc-echo-r2-0"] = Observation(base.FAILED, message="It ended each time.")
        assert self.world.converge(service).state == states.READY
        assert (Replica.objects.get().pk, self.endpoints()) == (old.pk, 1)

    def starting(self) -> None:
        service = self.never_up()
        self.numbers.answers = False
        assert hung_at(self.numbers, *LOOKS) == [], "the first start is not the watchdog's"
        assert (service.state, Replica.objects.get().state) == (states.STARTING, Replica.STARTING)
        assert self.endpoints() == 0
        self.world.deaf.clear()
        assert self.world.settle(service).state == states.READY

    def well(self) -> None:
        service = self.ready()
        self.numbers.answers = False  # nobody asks: it has no requests
        assert hung_at(self.numbers, *LOOKS) == []
        assert (service.state, Replica.objects.get().state, self.endpoints()) == (states.READY, Replica.READY, 1)

    def slow(self) -> None:
        """Computes for longer than the bound, and then finishes."""
        service = self.ready()
        numbers = self.numbers
        numbers.active, numbers.answers, numbers.cores = 1, False, 0.9
        assert hung_at(numbers, *LOOKS) == []
        assert numbers.probed == [] and self.endpoints() == 1
        numbers.progress = 1
        assert hung_at(numbers, 121) == []
        self.world.deaf.add(ALL)  # its health does not answer either
        service = self.world.settle(service)
        assert service.state == states.DEGRADED
        assert hung_at(numbers, *range(200, 300, 10)) == []
        assert not self.restarted() and self.endpoints() == 1

    def hung(self) -> None:
        service = self.ready()
        self.world.engine.log = "the last words"
        self.world.deaf.add(ALL)
        self.world.settle(service)
        self.numbers.answers = False
        [at] = hung_at(self.numbers, *LOOKS)
        assert at == 15 and self.restarted() and self.endpoints() == 0
        event = Event.objects.filter(message__contains="hung").get()
        assert "did not answer for 15 s" in event.message and event.detail == "the last words"
        self.world.deaf.clear()
        assert self.world.settle(service).state == states.READY
        assert self.endpoints() == 1

    def dead(self) -> None:
        service = self.ready()
        self.world.engine.running[NAME] = Observation(base.BACKOFF, message="It ended; starting it again.")
        service = self.world.settle(service)
        self.numbers.answers = False
        assert hung_at(self.numbers, *LOOKS) == [], "the supervisor starts it"
        assert (service.state, Replica.objects.get().state, self.endpoints()) == (states.DEGRADED, Replica.UNREADY, 1)
        self.world.engine.running[NAME] = Observation(base.RUNNING, pid=4711, uptime=1)
        assert self.world.settle(service).state == states.READY

    def crash_looping(self) -> None:
        service = self.ready()
        self.world.engine.running[NAME] = Observation(base.FAILED, message="It ended each time.")
        service = self.world.settle(service)
        self.numbers.answers = False
        assert hung_at(self.numbers, *LOOKS) == []
        replica = Replica.objects.get()
        assert (service.state, replica.state, self.endpoints()) == (states.DEGRADED, Replica.BACKOFF, 1)
        assert replica.retry_at is not None
        Replica.objects.update(retry_at=timezone.now() - timedelta(seconds=1))
        assert self.world.settle(service).state == states.READY

    def draining(self) -> None:
        service = self.ready(replicas=2)
        row = Replica.objects.select_related("revision", "service").get(index=1)
        replicas.drain(row)
        self.world.deaf.add(row.process_name)
        self.numbers.answers = False
        assert hung_at(self.numbers, *LOOKS) == []
        assert Replica.objects.get(index=1).state == Replica.DRAINING
        assert self.endpoints() == 1
        self.world.settle(service)
        assert not Replica.objects.filter(pk=row.pk).exists()

    def given_up(self) -> None:
        service = self.never_up()
        self.world.engine.running[NAME] = Observation(base.FAILED, message="It ended each time.")
        service = self.world.settle(service)
        assert service.state == states.FAILED and self.endpoints() == 0
        reconcile.sweep()
        assert Service.objects.get().state == states.FAILED, "until a person starts it"
        self.world.deaf.clear()
        verbs.start(service, actor=self.actor)
        assert self.world.converge(service).state == states.READY


@pytest.mark.parametrize("row", rows())
def test_each_row_is_so(row: str, world: World, make: Make, ready: Make, watched: Numbers, actor: Principal) -> None:
    getattr(Life(world, make, ready, watched, actor), row.replace("-", "_").replace(" ", "_"))()


def test_each_case_is_a_row_and_each_state_of_a_replica_is_told() -> None:
    cases = ["waiting", "starting", "well", "slow", "hung", "dead", "crash-looping", "draining", "on standby"]
    assert rows() == [*cases, "given up"]
    text = " ".join(rows(column=2))
    constants = {value for name, value in vars(Replica).items() if name.isupper() and isinstance(value, str)}
    assert constants == {state for state in constants if f"{state}:" in text} and len(constants) > 6


@pytest.mark.parametrize("cores", [0.0, 1.0])
def test_one_that_never_answers_hangs_at_last_even_if_it_computes(numbers: Numbers, cores: float) -> None:
    numbers.active, numbers.answers, numbers.cores = 1, False, cores
    assert hung_at(numbers, *range(0, 400, 10)) == [30 if cores == 0 else 300]


def test_a_health_check_that_fails_for_good_ends_one_that_still_infers(
    ready: Make, world: World, watched: Numbers
) -> None:
    """The gateway sends it nothing, whatever it could do."""
    service = ready()
    world.deaf.add(ALL)
    world.settle(service)
    assert hung_at(watched, *range(0, 400, 10)) == [300]


def test_a_start_that_rests_after_it_was_up_is_started_again_ever_later(
    ready: Make, world: World, watched: Numbers
) -> None:
    """A deadlock while the model is loaded."""
    service = ready()
    world.deaf.add(ALL)
    watched.answers = False
    world.engine.running[NAME] = Observation(base.RUNNING, pid=4711, uptime=1)
    world.settle(service)
    assert hung_at(watched, *range(0, 66, 3)) == [60]
    world.settle(service)
    hung_replicas._seen.clear()
    assert hung_at(watched, *range(100, 300, 10)) == [220]


def test_of_two_that_hang_at_once_one_is_taken_at_a_time(ready: Make, world: World, watched: Numbers) -> None:
    ready(replicas=2)
    watched.active, watched.answers = 1, False
    assert hung_at(watched, *range(0, 33, 3)) == [30]
    assert Replica.objects.filter(state=Replica.READY).count() == 1


def test_with_another_that_is_well_it_is_taken_at_once(ready: Make, world: World, watched: Numbers) -> None:
    ready(replicas=2)
    watched.active, watched.answers = 1, False
    watched.well.add("svc-echo-r1-1")
    assert hung_at(watched, *range(0, 18, 3)) == [15]


def test_the_last_one_is_taken_at_once_when_its_health_does_not_answer_either(numbers: Numbers, world: World) -> None:
    numbers.active, numbers.answers = 1, False
    world.deaf.add(ALL)
    assert hung_at(numbers, *range(0, 18, 3)) == [15]


@pytest.mark.parametrize("seen", [None, Observation(base.RUNNING, pid=4711)], ids=["away", "another process"])
def test_nothing_is_taken_that_the_engine_does_not_know(
    numbers: Numbers, world: World, monkeypatch: pytest.MonkeyPatch, seen: Observation | None
) -> None:
    def observe(name: str) -> Observation:
        if seen is None:
            raise EngineError("The process supervisor is not running.")
        return seen

    numbers.active, numbers.answers = 1, False
    monkeypatch.setattr(world.engine, "observe", observe)
    assert hung_at(numbers, *range(0, 60, 3)) == []
    assert not Event.objects.filter(message__contains="hung").exists()


def test_a_gateway_that_is_away_hides_no_replica_that_does_not_answer(
    ready: Make, world: World, watched: Numbers
) -> None:
    service = ready()
    world.deaf.add(ALL)
    world.settle(service)
    watched.down, watched.answers = True, False
    assert hung_at(watched, *range(0, 18, 3)) == [15]
