"""GPU time that preparing files first has saved: the formula, what counts once, and where it is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.accounts.principal import for_user
from console.models import Team
from datasets import states as rounds
from datasets.jobs import pruning
from datasets.models import Dataset, Round
from services.models import Revision, Service
from services.queries import dashboard, savings
from services.specs import Resources, ServiceSpec
from tests.rest import Api
from tests.services.usage.test_prometheus import samples, value

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset(team: Team) -> Dataset:
    return Dataset.objects.create(team=team, name="models", kind="local", options={"path": "/nowhere"})


def round_of(dataset: Dataset, seconds: float, state: str = rounds.DONE, **fields: Any) -> Round:
    now = timezone.now()
    return Round.objects.create(
        dataset=dataset,
        path="m",
        node="local",
        state=state,
        started_at=now - timedelta(seconds=seconds),
        finished_at=now,
        **fields,
    )


def service_of(team: Team, job: Round | None, *, name: str = "echo", gpus: int = 2, replicas: int = 3) -> Service:
    service = Service.objects.create(team=team, name=name, replicas=replicas, state_since=timezone.now())
    add_revision(service, job, gpus)
    return service


def add_revision(service: Service, job: Round | None, gpus: int) -> None:
    spec = ServiceSpec("triton", "models", "m", "default", resources=Resources(1, 1, gpus))
    service.target = Revision.objects.create(
        service=service, number=service.revisions.count() + 1, spec=spec.to_json(), round=job
    )
    service.save()


def saved() -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in savings.gpu_seconds(Service.objects.all()).items()}


def test_it_is_gpus_times_replicas_times_the_duration_of_the_round(team: Team, dataset: Dataset) -> None:
    service_of(team, round_of(dataset, 60))
    assert saved() == {"echo": 2 * 3 * 60}


def test_each_round_of_a_service_counts(team: Team, dataset: Dataset) -> None:
    service = service_of(team, round_of(dataset, 60))
    add_revision(service, round_of(dataset, 10), gpus=1)
    assert saved() == {"echo": 2 * 3 * 60 + 1 * 3 * 10}


def test_a_round_that_two_revisions_waited_for_counts_once_and_for_two_services_twice(
    team: Team, dataset: Dataset
) -> None:
    shared = round_of(dataset, 60)
    add_revision(service_of(team, shared, gpus=1), shared, gpus=2)
    service_of(team, shared, name="other", gpus=1, replicas=1)
    assert saved() == {"echo": 2 * 3 * 60, "other": 60}


def test_what_asks_for_no_gpu_or_has_not_finished_saves_nothing(team: Team, dataset: Dataset) -> None:
    service_of(team, round_of(dataset, 60), name="cpu", gpus=0)
    service_of(team, round_of(dataset, 60, rounds.FAILED), name="failed")
    service_of(team, None, name="none")
    never = round_of(dataset, 60)
    Round.objects.filter(pk=never.pk).update(started_at=None)
    service_of(team, never, name="never")
    assert saved() == {}


def test_it_is_on_the_dashboard_of_who_may_see_the_service(
    team: Team, dataset: Dataset, alice: User, charlie: User, client_of: Callable[[User | None], Client]
) -> None:
    service_of(team, round_of(dataset, 125), gpus=1, replicas=1)
    assert dashboard.read(for_user(alice)).gpu_seconds_saved == pytest.approx(125)
    assert dashboard.read(for_user(charlie)).gpu_seconds_saved == 0
    label = "of GPU time saved"
    assert "2 min 5 s" in (page := client_of(alice).get(reverse("dashboard")).content.decode()) and label in page
    assert label not in client_of(charlie).get(reverse("dashboard")).content.decode()
    assert Api(alice).get("dashboard/").data["gpu_seconds_saved"] == pytest.approx(125)


def test_it_is_on_the_page_of_the_service_and_in_its_metrics(
    team: Team, dataset: Dataset, alice: User, client_of: Callable[[User | None], Client]
) -> None:
    service_of(team, round_of(dataset, 125), gpus=1, replicas=2)
    page = client_of(alice).get(reverse("service", args=["echo"])).content.decode()
    assert "has saved 4 min 10 s of GPU time" in page
    assert Api(alice).get("services/echo/metrics/").data["gpu_seconds_saved"] == pytest.approx(250)


def test_prometheus_gets_it_beside_what_preheats_moved_and_what_the_store_holds(team: Team, dataset: Dataset) -> None:
    service_of(team, round_of(dataset, 60, bytes_copied=1000))
    round_of(dataset, 1, bytes_copied=24)
    metrics = samples()
    assert value(metrics, "console_gpu_seconds_saved", service="echo") == pytest.approx(360)
    assert value(metrics, "console_preheat_bytes_total", dataset="models") == 1024
    assert value(metrics, "console_preheat_rounds", state="DONE") == 2
    assert value(metrics, "console_store_bytes", node="local") >= 0


def test_a_deleted_dataset_makes_no_counter_fall(team: Team, dataset: Dataset) -> None:
    other = Dataset.objects.create(team=team, name="other", kind="local", options={"path": "/nowhere"})
    for each in (dataset, other):
        round_of(each, 1, bytes_copied=100)
    before = samples()
    other.delete()
    after = samples()
    name = "console_preheat_bytes_total"
    assert value(before, name, dataset="models") == value(after, name, dataset="models") == 100
    assert not any(each == name and ("dataset", "other") in labels for each, labels in after)


def test_rounds_of_long_ago_go_and_neither_what_was_saved_nor_what_was_moved_falls(
    team: Team, dataset: Dataset
) -> None:
    waited_for, failed = round_of(dataset, 60, bytes_copied=5), round_of(dataset, 60, rounds.FAILED)
    service_of(team, waited_for)
    service_of(team, failed, name="broken")
    others = [round_of(dataset, 60, bytes_copied=1) for _ in range(pruning.NEWEST + 3)]
    before, metrics_before = saved(), samples()
    Round.objects.update(finished_at=timezone.now() - timedelta(days=31))
    Round.objects.update(started_at=F("finished_at") - timedelta(seconds=60))
    assert pruning.prune() == 3
    assert list(Round.objects.order_by("pk")) == [waited_for, failed, *others[3:]]
    assert saved() == before == {"echo": 360}
    name = "console_preheat_bytes_total"
    assert value(samples(), name, dataset="models") == value(metrics_before, name, dataset="models") == 28
