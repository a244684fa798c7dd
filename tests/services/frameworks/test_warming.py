"""A new process is warmed up before it is READY, in a thread of its own that no look waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from services import states
from services.engines import base
from services.engines.base import Observation
from services.errors import ProbeError
from services.frameworks import warming
from services.frameworks.triton.framework import Triton
from services.models import Replica, Service
from tests.services.world import World, process_at

Make = Callable[..., Service]


@dataclass
class Warmups:
    """What a framework's warm-up does here: it waits to be let go, and then answers or not."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: list[str] = field(default_factory=list)
    error: bool = False

    def warm_up(self, process: str) -> None:
        self.begun.append(process)
        assert self.go.wait(60)
        if self.error:
            raise ProbeError("The server did not answer.")

    def finish(self) -> None:
        self.go.set()
        for thread in list(warming._threads.values()):
            thread.join(60)


@pytest.fixture
def warmups(monkeypatch: pytest.MonkeyPatch, world: World) -> Any:
    fake_warmups = Warmups()
    warming._threads.clear()
    warming._warm.clear()
    monkeypatch.setattr(Triton, "warms_up", True)
    monkeypatch.setattr(
        Triton, "warm_up", lambda self, listeners, *rest: fake_warmups.warm_up(process_at(listeners.http))
    )
    yield fake_warmups
    fake_warmups.finish()


def test_it_is_ready_once_it_is_warm(ready: Make, world: World, warmups: Warmups) -> None:
    service = ready()
    assert service.state == states.STARTING
    assert service.message == f"0 of 1 replicas answer. {warming.SENTENCE}"
    world.settle(service)
    assert warmups.begun == ["svc-echo-r1-0"], "once, however often it is looked at"
    warmups.finish()
    assert world.settle(service).state == states.READY


def test_a_warm_up_without_an_answer_is_tried_again(ready: Make, world: World, warmups: Warmups) -> None:
    warmups.error = True
    service = ready()
    warmups.finish()
    warmups.error = False
    assert world.settle(service).state == states.STARTING
    warmups.finish()
    assert world.settle(service).state == states.READY
    assert len(warmups.begun) == 2


def test_a_new_process_is_warmed_up_and_one_that_was_ready_before_is_not(
    ready: Make, world: World, warmups: Warmups
) -> None:
    warmups.go.set()
    service = ready()
    warmups.finish()
    service = world.settle(service)
    world.deaf.add("svc-echo-r1-0")
    world.settle(service)
    world.deaf.clear()
    warming._warm.clear()  # as in a worker that started anew
    assert world.settle(service).state == states.READY
    assert len(warmups.begun) == 1
    world.engine.running["svc-echo-r1-0"] = Observation(base.RUNNING, pid=4711, uptime=1)
    world.settle(service)
    warmups.finish()
    assert world.settle(service).state == states.READY
    assert (Replica.objects.get().well_pid, len(warmups.begun)) == (4711, 2)
