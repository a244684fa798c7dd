"""Rows of a service that is READY, without a queue, a preheat or an engine: its replica listens where it is told."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from console.models import Team
from services import states
from services.models import Replica, Service
from services.specs import ServiceSpec


def ready_service(
    team: Team, name: str, *, http_port: int, grpc_port: int, tree: str = "", framework: str = "triton", **more: Any
) -> Service:
    """`more`: what its ServiceSpec has besides, such as auth or framework_config."""
    spec = ServiceSpec(framework=framework, dataset="samples", model_path=name, queue="default", **more).to_json()
    service = Service.objects.create(
        team=team, name=name, state=states.READY, state_since=timezone.now(), created_by="alice"
    )
    revision = service.revisions.create(number=1, spec=spec, tree=tree, created_by="alice")
    service.target = service.serving = revision
    service.save()
    first = 30000 + 3 * Replica.objects.count()
    Replica.objects.create(
        service=service,
        revision=revision,
        index=0,
        node="local",
        state=Replica.READY,
        started_at=timezone.now(),
        http_port=http_port,
        grpc_port=grpc_port if grpc_port != http_port else first,
        metrics_port=first + 1,
    )
    return service
