"""What the database says -> what the gateway does: snapshot, render, have Envoy check it, publish, write it down."""

from __future__ import annotations

import logging
import time

from django.conf import settings

from services import states
from services.errors import GatewayError
from services.gateway import publish as gateway
from services.gateway import status
from services.gateway.binary import find_envoy
from services.gateway.snapshot import Endpoint, GatewayKey, GatewayService, Limits, Snapshot
from services.models import ApiKey, GatewayRevision, Replica, Service
from services.models.services import DELETED

logger = logging.getLogger(__name__)
HOST = "127.0.0.1"
"""Where the local engine's replicas listen."""
KEPT_REVISIONS = 200
PATIENCE = 2.0
"""Seconds to wait for Envoy to take what was published; it mostly needs a tenth of one."""


def publish_now() -> None:
    """`publish` for callers that can do nothing about a failure: it is logged, kept, and tried again by the sweep."""
    try:
        publish()
    except (GatewayError, OSError):
        logger.exception("the gateway keeps its last good configuration")


def open_up(service: Service) -> None:
    """Publish, and wait a moment until Envoy sends requests to every replica of the service that has answered.

    Called before anybody is told READY: whoever reads that may call at once, and count on each replica. Envoy that is
    away, or slow, holds nothing up for longer than PATIENCE.
    """
    publish_now()
    answering = Replica.objects.filter(revision=service.serving, started_at__isnull=False)
    rows = answering.exclude(state=Replica.DRAINING)
    wanted = {(service.name, f"{HOST}:{port}") for row in rows for port in (row.http_port, row.grpc_port)}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            healthy = {(seen.service, seen.address) for seen in status.replicas(settings.HOME.gateway) if seen.healthy}
        except GatewayError:
            return
        if wanted <= healthy:
            return
        time.sleep(0.05)


def publish() -> GatewayRevision | None:
    """Tell the gateway the present state of services and keys. None when it knows already.

    Raises GatewayError when Envoy would refuse the configuration; the last good one goes on.
    """
    taken: list[Snapshot] = []

    def take() -> Snapshot:
        taken.append(snapshot())
        return taken[-1]

    try:
        changed = gateway.deliver(take, settings.HOME.gateway, find_envoy())
    except GatewayError as error:
        _write_down(taken, str(error))
        raise
    return _write_down(taken, "") if changed else None


def _write_down(taken: list[Snapshot], error: str) -> GatewayRevision:
    shot = taken[-1] if taken else Snapshot()
    newest = GatewayRevision.objects.first()
    if error and newest is not None and newest.error == error:
        return newest  # the sweep tries again every few seconds; once is enough to be told
    revision = GatewayRevision.objects.create(services=len(shot.services), keys=len(shot.keys), error=error)
    old = GatewayRevision.objects.values_list("pk", flat=True)[KEPT_REVISIONS : KEPT_REVISIONS + 100]
    GatewayRevision.objects.filter(pk__in=list(old)).delete()
    return revision


def snapshot() -> Snapshot:
    services = Service.objects.select_related("team", "target", "serving").prefetch_related("replica_set")
    return Snapshot(
        services=tuple(_service(service) for service in services.order_by("name") if service.target is not None),
        keys=tuple(_key(key) for key in ApiKey.objects.live().select_related("team").order_by("key_id")),
        limits=Limits(max_payload_bytes=settings.MAX_PAYLOAD_BYTES),
    )


def _service(service: Service) -> GatewayService:
    revision = service.serving or service.target
    assert revision is not None
    ready = service.state in states.OPEN and service.serving is not None and service.desired != DELETED
    # A replica that answered once stays: Envoy's own health checks are quicker than the console's.
    endpoints = tuple(
        Endpoint(HOST, row.http_port, row.grpc_port)
        for row in service.replica_set.all()
        if ready and row.revision_id == service.serving_id and row.state != Replica.DRAINING and row.started_at
    )
    return GatewayService(
        name=service.name,
        team=service.team.name,
        public=revision.spec["auth"]["policy"] == "public",
        ready=ready and bool(endpoints),
        message=_why_not(service),
        endpoints=endpoints,
    )


def _why_not(service: Service) -> str:
    """What a caller is told with a 503: the state only. Details may name paths, and are for the console's page."""
    return "" if service.state in states.ROUTABLE else f"Service {service.name} is {service.state}."


def _key(key: ApiKey) -> GatewayKey:
    return GatewayKey(
        id=key.key_id,
        digest=key.digest,
        team="*" if key.all_teams else key.team.name,
        services=tuple(key.services),
        can_infer="infer" in key.scopes,
        rate_limit_per_minute=key.rate_limit_per_minute,
    )
