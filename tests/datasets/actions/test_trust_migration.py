"""Trust that was given before it was bound to a location."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from datasets.models import Dataset, Round
from services.models import Revision

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
OPTIONS = {"path": "/srv/models"}


def migrate(app: str, name: str) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate([(app, name)])
    return executor.loader.project_state([(app, name)]).apps


def migrate_all() -> None:
    latest = MigrationExecutor(connection)
    latest.migrate(latest.loader.graph.leaf_nodes())


@pytest.fixture
def brought_up_to_date() -> Iterator[None]:
    yield
    migrate_all()


def old_dataset(apps: Any, name: str = "old", *, trusted_at: Any, updated_at: Any) -> Any:
    model = apps.get_model("datasets", "Dataset")
    row = model.objects.create(
        team=apps.get_model("console", "Team").objects.create(name=name),
        name=name,
        kind="local",
        options=OPTIONS,
        created_by="alice",
        trusted=True,
        trusted_by="alice",
        trusted_at=trusted_at,
    )
    model.objects.filter(pk=row.pk).update(updated_at=updated_at)
    return row


def test_trust_goes_on_unless_the_dataset_was_changed_since(brought_up_to_date: None) -> None:
    apps, now = migrate("datasets", "0006_pruning"), timezone.now()
    row = old_dataset(apps, trusted_at=now, updated_at=now + timedelta(milliseconds=3))
    old_dataset(apps, "changed", trusted_at=now - timedelta(days=1), updated_at=now)
    rounds = apps.get_model("datasets", "Round").objects
    for path in ("before", "after"):
        rounds.create(dataset=row, path=path, node="local", state="DONE", tree="t", requested_by="alice")
    rounds.filter(path="before").update(created_at=now - timedelta(days=1))
    rounds.filter(path="after").update(created_at=now + timedelta(days=1))
    migrate_all()
    dataset = Dataset.objects.get(name="old")
    assert dataset.trusted and dataset.trust_covers_changes and dataset.trusted_by == "alice"
    assert Round.objects.get(path="after").location == dataset.location
    assert Round.objects.get(path="before").location == "", "the dataset may have pointed elsewhere then"
    changed = Dataset.objects.get(name="changed")
    assert not changed.trusted and "had been changed after it was trusted" in changed.trusted_by


def test_revisions_are_bound_to_the_dataset_that_they_were_made_with(brought_up_to_date: None) -> None:
    migrate("services", "0008_what_a_key_is_bound_to")
    apps, now = migrate("datasets", "0006_pruning"), timezone.now()
    row = old_dataset(apps, trusted_at=now, updated_at=now)
    services = (
        MigrationExecutor(connection)
        .loader.project_state([("services", "0008_what_a_key_is_bound_to"), ("datasets", "0006_pruning")])
        .apps
    )
    done = services.get_model("datasets", "Round").objects.create(
        dataset_id=row.pk, path="m", node="local", state="DONE", tree="t", requested_by="alice"
    )
    service = services.get_model("services", "Service").objects.create(
        team_id=row.team_id, name="old", state_since=now, created_by="alice"
    )
    make = services.get_model("services", "Revision").objects.create
    spec = {"dataset": "old", "framework_config": {"trust_remote_code": True}}
    for number, its in ((1, done), (2, None), (3, None)):
        make(service=service, number=number, spec=spec, created_by="root", tree="t", round=its)
    services.get_model("services", "Revision").objects.filter(number=3).update(created_at=now - timedelta(days=1))
    migrate_all()
    revisions = Revision.objects
    location = Dataset.objects.get(name="old").location
    assert list(revisions.order_by("number").values_list("dataset", "location")) == [
        (row.pk, location),
        (row.pk, location),
        (None, ""),
    ]
    assert revisions.get(number=1).permission == {"by": "root", "location": location, "code": None}


def test_datasets_of_before_there_was_trust_are_trusted(brought_up_to_date: None) -> None:
    apps = migrate("datasets", "0003_credentials")
    team = apps.get_model("console", "Team").objects.create(name="old")
    apps.get_model("datasets", "Dataset").objects.create(team=team, name="old", kind="local", created_by="alice")
    row = migrate("datasets", "0004_trust").get_model("datasets", "Dataset").objects.get(name="old")
    assert row.trusted and row.trusted_by == "the console, when it was updated"
    migrate_all()
    assert Dataset.objects.get(name="old").trusted
