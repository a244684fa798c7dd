"""Revisions that served before the console remembered it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from services.models import Revision

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def migrate_all() -> None:
    latest = MigrationExecutor(connection)
    latest.migrate(latest.loader.graph.leaf_nodes())


@pytest.fixture
def old() -> Iterator[Any]:
    """Models by name, as they were."""
    executor = MigrationExecutor(connection)
    states = [("services", "0013_revisions_that_share_processes")]
    executor.migrate(states)
    apps = executor.loader.project_state(states).apps
    yield lambda app, name: apps.get_model(app, name).objects
    migrate_all()


def test_what_serves_has_served_and_nothing_else(old: Any) -> None:
    now = timezone.now()
    team = old("console", "Team").create(name="old")
    for number, name in enumerate(("answering", "hung", "stopped")):
        since = now - timedelta(hours=1)
        service = old("services", "Service").create(team=team, name=name, state_since=since, created_by="alice")
        first, second = (
            old("services", "Revision").create(service=service, number=each, spec={}, created_by="alice")
            for each in (1, 2)
        )
        service.target = second
        service.serving = None if name == "stopped" else first
        service.save()
        started = now - timedelta(days=1) if name == "answering" else None
        old("services", "Replica").create(
            service=service,
            revision=first,
            index=0,
            node="local",
            http_port=3 * number,
            grpc_port=3 * number + 1,
            metrics_port=3 * number + 2,
            started_at=started,
        )
    migrate_all()
    served = Revision.objects.exclude(served_at=None).order_by("served_at")
    assert list(served.values_list("service__name", "number", "served_at")) == [
        ("answering", 1, now - timedelta(days=1)),
        ("hung", 1, now - timedelta(hours=1)),
    ]
