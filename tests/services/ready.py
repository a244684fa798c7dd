"""Rows of a service that is READY, without a queue, a preheat or a process: its replica listens where a test says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from console.home import Home
from console.models import Team
from services import states, wiring
from services.engines.local import LocalEngine
from services.listeners import Listeners
from services.models import Replica, Service
from services.specs import ServiceSpec


def at_port(port: int) -> Listeners:
    """A server that has all at one port."""
    return Listeners.on_ports(port, port, port)


class PlacedEngine(LocalEngine):
    """Knows of some processes that they listen elsewhere: `places`, by the names of the processes."""

    def __init__(self, home: Home, places: Mapping[str, Listeners]) -> None:
        super().__init__(home)
        self.places = places

    def listeners(self, name: str) -> Listeners:
        return self.places[name] if name in self.places else super().listeners(name)


def place(replica: Replica, listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens there from now on."""
    engine = wiring.engine()
    before = engine.places if isinstance(engine, PlacedEngine) else {}
    places = {**before, replica.process_name: listeners}
    monkeypatch.setattr(wiring, "engine", lambda: PlacedEngine(settings.HOME, places))


def ready_service(
    team: Team,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    listeners: Listeners,
    tree: str = "",
    framework: str = "triton",
    **more: Any,
) -> Service:
    """`more`: what its ServiceSpec has besides, such as auth or framework_config."""
    spec = ServiceSpec(framework=framework, dataset="samples", model_path=name, queue="default", **more).to_json()
    service = Service.objects.create(
        team=team, name=name, state=states.READY, state_since=timezone.now(), created_by="alice"
    )
    revision = service.revisions.create(number=1, spec=spec, tree=tree, created_by="alice")
    service.target = service.serving = revision
    service.save()
    replica = Replica.objects.create(
        service=service,
        revision=revision,
        index=0,
        node="local",
        state=Replica.READY,
        started_at=timezone.now(),
    )
    place(replica, listeners, monkeypatch)
    return service
