"""What the gateway is told, and what it costs to find out."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext

from services.actions import publishing
from services.models import Replica, Service

Make = Callable[..., Service]


def test_a_snapshot_asks_as_often_for_three_services_as_for_one(ready: Make) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            publishing.snapshot()
        return len(asked)

    ready(name="one")
    once = queries()
    ready(name="two", replicas=2)
    ready(name="three")
    assert queries() == once
    told = {service.name: len(service.endpoints) for service in publishing.snapshot().services}
    assert told == {"one": 1, "two": 2, "three": 1}


def test_a_replica_that_drains_or_never_answered_gets_no_requests(ready: Make) -> None:
    ready(replicas=3)
    Replica.objects.filter(index=0).update(state=Replica.DRAINING)
    Replica.objects.filter(index=1).update(started_at=None)
    left = Replica.objects.get(index=2)
    endpoints = publishing.snapshot().services[0].endpoints
    assert [(place.http_port, place.grpc_port) for place in endpoints] == [(left.http_port, left.grpc_port)]
