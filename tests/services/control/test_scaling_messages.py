"""What is said of a service whose number of replicas changes: one message a step, and nothing happens unseen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from console.accounts.principal import Principal
from services.actions import services as verbs
from services.control import reconcile
from services.models import Event, Service
from tests.services.world import World

Make = Callable[..., Service]


@pytest.mark.parametrize("deaf", [False, True], ids=["ready", "degraded"])
def test_one_without_room_for_more_replicas_has_one_message(
    deaf: bool, ready: Make, world: World, actor: Principal
) -> None:
    service, _ = ready(), ready(name="other", resources={"cpu": 2})
    verbs.scale(service, 4, actor=actor)
    if deaf:
        world.deaf.add("svc-echo-r1-0")
    message = world.converge(service).message
    with CaptureQueriesContext(connection) as queries:
        for _ in range(2):
            reconcile.maintain(Service.objects.select_related("team", "target", "serving").get(pk=service.pk))
    assert not [one["sql"] for one in queries if one["sql"].startswith("UPDATE") and '"message"' in one["sql"]]
    health = "0 of 4 replicas answer. Replica 0: Nobody answers." if deaf else "1 of 4 replicas answer."
    assert message == f"{health} Queue default: needs 3 CPU, 1 free."


def test_a_size_that_goes_with_a_revision_is_undone_with_an_event(ready: Make, actor: Principal) -> None:
    service = ready(resources={"cpu": 0.5})
    verbs.edit(service, {"env": {"NEW": "1"}, "replicas": 2}, actor=actor)
    verbs.scale(Service.objects.get(pk=service.pk), 3, actor=actor)
    verbs.cancel_rollout(Service.objects.get(pk=service.pk), actor=actor)
    assert Service.objects.get().replicas == 1
    event = Event.objects.filter(kind="scaled").latest("pk")
    assert event.message.startswith("Scaled back from 3 to 1 replicas: revision 2")
