"""Where replicas may start without a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from console.models import Team
from services import states
from services.engines import base
from services.engines.base import Containment, Observation
from services.models import Service
from tests.services.world import World

OPEN = Containment(False, "This machine makes no box for a replica.")


@pytest.mark.parametrize(
    ("sandbox", "teams", "starts"),
    [("auto", 1, True), ("auto", 2, False), ("require", 1, False), ("off", 2, True)],
)
def test_without_boxes_a_service_starts_where_all_teams_may_read_all(
    make: Callable[..., Service],
    world: World,
    team: Team,
    settings: Settings,
    sandbox: str,
    teams: int,
    starts: bool,
) -> None:
    settings.REPLICA_SANDBOX = sandbox
    world.engine.contained = OPEN
    assert Team.objects.count() == 1
    if teams > 1:
        Team.objects.create(name="another")
    service = world.settle(world.preheat(make()))
    assert (service.state == states.READY) is starts
    assert bool(world.engine.applied) is starts
    if not starts:
        assert service.state == states.STARTING, "once this machine makes boxes, it goes on"
        assert OPEN.sentence in service.message and "REPLICA_SANDBOX=off" in service.message


def test_a_box_is_enough_for_any_number_of_teams(make: Callable[..., Any], world: World, other_team: Team) -> None:
    assert world.settle(world.preheat(make())).state == states.READY


def test_a_box_that_cannot_be_built_is_said_in_the_words_of_bubblewrap(
    make: Callable[..., Service], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.engine.log = "bwrap: Can't mkdir /models: Read-only file system"
    service = world.preheat(make())
    monkeypatch.setattr(world.engine, "observe", lambda name: Observation(base.FAILED, message="It ended each time."))
    service = world.settle(service)
    assert service.state == states.FAILED
    assert "Its box could not be made. Can't mkdir /models: Read-only file system." in service.message
