"""Workers that claim devices of one node in the same moment, from two queues. On both databases: SQLite lets one write
at a time, and whoever finds it locked tries again, as a worker's next look does.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from console.models import Team
from services import states
from services.control.queues import claims, lines
from services.models import Queue, Replica, Service
from tests.services.control.races import at_once, waiting
from tests.services.nvml import WHOLE, FakeNvml

pytestmark = pytest.mark.django_db(transaction=True)

SIZES = (1, 2, 4, 1, 2)


def claim(service: Service) -> Callable[[], bool]:
    def work() -> bool:
        with transaction.atomic():  # as reconcile.admit does: who has its share is no longer in the line
            row = Service.objects.select_related("target", "serving").get(pk=service.pk)
            granted = claims.claim(row, row.target_revision, range(1)).granted
            if granted:
                Service.objects.filter(pk=service.pk).update(state=states.STARTING, queued_at=None)
        return granted

    return lambda: bool(retried(work))


def retried(work: Callable[[], Any]) -> Any:
    """The tests' SQLite is in memory, where nobody waits for a lock."""
    deadline = time.monotonic() + 50
    while True:
        try:
            return work()
        except OperationalError:
            if connection.vendor != "sqlite" or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0, 0.05))


def given() -> list[str]:
    return [uuid for row in Replica.objects.all() for uuid in row.devices]


@pytest.mark.parametrize("kind", ["", WHOLE])
def test_twenty_claims_by_racing_workers_never_share_a_device(gpus: FakeNvml, team: Team, kind: str) -> None:
    Queue.objects.create(name="second", cpu=8, memory_gib=8, gpus={"": 99})
    services = [
        waiting(team, f"s-{number}", ("default", "second")[number % 2], 0.05, SIZES[number % 5], kind)
        for number in range(20)
    ]
    outcomes = at_once(*(claim(service) for service in services))
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert any(outcomes)
    assert max(Counter(given()).values()) == 1
    for row in Replica.objects.select_related("revision"):
        assert len(row.devices) == row.revision.spec["resources"]["gpu"]
    (candidate,) = lines.candidates()
    assert all(count <= candidate.node.gpus[product] for product, count in candidate.used.gpus.items())
    late = [claim(service)() for service, granted in zip(services, outcomes, strict=True) if not granted]
    assert not any(late), "whoever was refused still finds too little"


def test_what_ends_is_given_to_others_while_they_race_for_it(gpus: FakeNvml, team: Team) -> None:
    first = waiting(team, "first", "default", 0.05, gpu=4)
    assert claim(first)()
    services = [waiting(team, f"s-{number}", "default", 0.05, gpu=2) for number in range(6)]

    def end() -> int:
        return int(retried(Replica.objects.filter(service=first).delete)[0])

    outcomes = at_once(end, *(claim(service) for service in services))
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    for service, granted in zip(services, outcomes[1:], strict=True):
        if not granted:
            claim(service)()
    assert len(given()) == 6 and max(Counter(given()).values()) == 1
