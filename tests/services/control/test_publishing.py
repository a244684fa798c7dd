"""What the gateway is told, and what it costs to find out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from console.accounts import teams
from console.accounts.principal import Principal, for_user
from console.models import Team
from services import states, wiring
from services.actions import services as verbs
from services.control import publishing
from services.models import ApiKey, Replica, Revision, Service
from tests.services.world import World

Make = Callable[..., Service]


def test_a_snapshot_asks_as_often_for_three_services_as_for_one(ready: Make) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as context:
            publishing.snapshot()
        return len(context)

    ready(name="one")
    once = queries()
    ready(name="two", replicas=2)
    ready(name="three")
    assert queries() == once
    endpoint_counts = {service.name: len(service.endpoints) for service in publishing.snapshot().services}
    assert endpoint_counts == {"one": 1, "two": 2, "three": 1}


def test_a_replica_that_drains_or_never_answered_gets_no_requests(ready: Make) -> None:
    ready(replicas=3)
    Replica.objects.filter(index=0).update(state=Replica.DRAINING)
    Replica.objects.filter(index=1).update(started_at=None)
    left = Replica.objects.get(index=2)
    endpoints = publishing.snapshot().services[0].endpoints
    listeners = wiring.engine().listeners(left.process_name)
    assert [(endpoint.http, endpoint.grpc) for endpoint in endpoints] == [(listeners.http, listeners.grpc)]


def test_what_a_revision_says_of_access_limits_and_model_is_told(ready: Make, settings: Settings) -> None:
    settings.MAX_PAYLOAD_BYTES, settings.GATEWAY_DOMAIN = 8 << 20, "models.example"
    ready(
        auth={"header": "x-tenant-key", "parameters": [{"name": "x-tenant", "value": "blue"}]},
        limits={"max_payload_mib": 4, "timeout_seconds": 9, "concurrency": 2},
    )
    snapshot = publishing.snapshot()
    (service,) = snapshot.services
    assert (snapshot.limits.domain, snapshot.limits.max_payload_bytes) == ("models.example", 8 << 20)
    assert (service.auth_header, service.auth_parameters) == ("x-tenant-key", (("x-tenant", "blue"),))
    assert (service.max_payload_bytes, service.timeout_seconds, service.concurrency) == (4 << 20, 9, 2)
    assert (service.framework, service.task, service.revision) == ("triton", "", 1) and service.created > 0
    settings.MAX_PAYLOAD_BYTES = 2 << 20
    assert publishing.snapshot().services[0].max_payload_bytes == 2 << 20


def test_a_revision_of_before_limits_were_there_is_told_too(ready: Make) -> None:
    revision = ready().serving
    assert revision is not None
    revision.spec = {key: value for key, value in revision.spec.items() if key not in ("limits", "cors")}
    revision.spec["auth"] = {"policy": "public"}
    revision.save()
    (service,) = publishing.snapshot().services
    assert service.public and service.ready and service.concurrency is None and service.auth_parameters == ()


def test_while_an_edit_rolls_out_the_gateway_is_told_of_what_serves(ready: Make, actor: Principal) -> None:
    """And of who may call, and how much, as it was saved last."""
    service = ready()
    changes = {
        "env": {"A": "b"},
        "limits": {"concurrency": 3},
        "auth": {"policy": "public"},
        "cors": {"allowed_origins": ["https://app.example"]},
    }
    verbs.edit(service, changes, actor=actor)
    (gateway_service,) = publishing.snapshot().services
    assert (gateway_service.revision, gateway_service.concurrency, gateway_service.public, gateway_service.ready) == (
        1,
        3,
        True,
        True,
    )
    assert gateway_service.cors_origins == ("https://app.example",)
    assert publishing.snapshot_keys().keyless, "otherwise a caller without a key is 401"
    verbs.edit(service, {"auth": {"policy": "api_key"}}, actor=actor)
    assert not publishing.snapshot_keys().keyless


def test_a_model_is_told_as_people_said_or_else_as_its_files_say(ready: Make) -> None:
    revision = ready().serving
    assert revision is not None
    revision.spec["framework"] = "vllm"
    revision.described = {"task": "chat", "max_model_len": 2048}
    revision.save()
    (gateway_service,) = publishing.snapshot().services
    assert (
        gateway_service.framework,
        gateway_service.task,
        gateway_service.max_model_len,
        gateway_service.adapters,
    ) == ("vllm", "chat", 2048, ())
    modules = [{"name": "pirate", "path": "adapters/pirate"}]
    revision.spec["framework_config"] = {"task": "completion", "max_model_len": 128, "lora_modules": modules}
    revision.save()
    (gateway_service,) = publishing.snapshot().services
    assert (gateway_service.task, gateway_service.max_model_len, gateway_service.adapters) == (
        "completion",
        128,
        ("pirate",),
    )


def test_what_files_say_is_kept_with_each_revision(ready: Make, actor: Principal, world: World) -> None:
    service = ready()
    first = service.revisions.get(number=1)
    assert first.described == {"task": "", "max_model_len": None, "sequences": False, "classes": [], "models": []}
    verbs.edit(service, {"env": {"A": "1"}}, actor=actor)
    service = world.converge(service)
    verbs.rollback(service, 1, actor=actor)
    world.converge(service)
    assert service.revisions.get(number=3).described == first.described


@pytest.mark.slow
def test_thousands_of_services_and_keys_are_told_at_once(ready: Make, team: Team) -> None:
    """2,000 services and 10,000 keys, in the CPU time that one request may cost."""
    spec = {**ready().target.spec, "auth": {"policy": "api_key", "header": "x-a", "parameters": []}}
    now = timezone.now()
    services = Service.objects.bulk_create(
        Service(team=team, name=f"many-{n:04}", state=states.READY, state_since=now) for n in range(2000)
    )
    revisions = Revision.objects.bulk_create(Revision(service=row, number=1, spec=spec) for row in services)
    for service, revision in zip(services, revisions, strict=True):
        service.target = service.serving = revision
    Service.objects.bulk_update(services, ["target", "serving"], batch_size=200)
    Replica.objects.bulk_create(
        Replica(
            service=row,
            revision=row.serving,
            index=0,
            node="local",
            started_at=now,
        )
        for n, row in enumerate(services)
    )
    ApiKey.objects.bulk_create(
        ApiKey(
            team=team,
            name="many",
            key_id=f"{n:012}",
            digest=f"{n:064}",
            scopes=["infer"],
            services=["many-0001"],
            service_ids=[1],
        )
        for n in range(10_000)
    )
    with CaptureQueriesContext(connection) as context:
        snapshot = publishing.snapshot()
    assert len(context) == 2  # a service and its replicas together: an edit may come between two queries
    assert (len(snapshot.services), len(snapshot.keys)) == (2001, 10_000)
    assert all(service.ready for service in snapshot.services)
    assert min(_seconds() for _ in range(3)) < 0.3


def _seconds() -> float:
    began = time.process_time()
    publishing.snapshot()
    return time.process_time() - began


def test_keys_of_a_team_that_is_deleted_leave_the_gateway_with_it(
    team: Team, admin: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    ApiKey.objects.create(team=team, name="ci", key_id="a" * 12, digest="0" * 64, scopes=["infer"])
    key_counts: list[int] = []
    monkeypatch.setattr(publishing, "publish_keys", lambda: key_counts.append(len(publishing.snapshot().keys)))
    with django_capture_on_commit_callbacks(execute=True):
        teams.delete(team, actor=for_user(admin), confirm=team.name)
    assert key_counts == [0]
