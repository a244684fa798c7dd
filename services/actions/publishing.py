"""What the database says -> what the gateway does: snapshot, render, have Envoy check it, publish, write it down."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from services import states
from services.errors import GatewayError
from services.gateway import publish as files
from services.gateway import render, validate
from services.gateway.snapshot import Endpoint, GatewayKey, GatewayService, Limits, Snapshot
from services.models import ApiKey, GatewayRevision, Replica, Service
from services.models.services import DELETED

logger = logging.getLogger(__name__)
HOST = "127.0.0.1"


def publish_now() -> None:
    """`publish` for callers that cannot do anything about a failure: it is logged, kept, and tried again by the sweep."""
    try:
        publish()
    except (GatewayError, OSError):
        logger.exception("the gateway keeps its last good configuration")


def publish() -> GatewayRevision | None:
    """Tell the gateway the present state of services and keys. None when it knows already.

    Raises GatewayError when Envoy would refuse the configuration; the last good one goes on.
    """
    with _alone():
        shot = snapshot()
        rendered = render.render(shot, settings.HOME.gateway)
        digest = render.digest(rendered)
        newest = GatewayRevision.objects.first()
        if newest and newest.digest == digest and (newest.error or files.is_current(rendered, settings.HOME.gateway)):
            return None
        revision = GatewayRevision(digest=digest, services=len(shot.services), keys=len(shot.keys))
        try:
            validate.validate(rendered, settings.HOME.gateway)
            files.publish(rendered, settings.HOME.gateway)
        except GatewayError as error:
            revision.error = str(error)
            revision.save()
            raise
        revision.save()
    _forget_old()
    return revision


@contextmanager
def _alone() -> Iterator[None]:
    """Web and worker publish too; snapshot and rename must not interleave, or an older state could win."""
    settings.HOME.gateway.mkdir(parents=True, exist_ok=True)
    with (settings.HOME.gateway / ".publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def snapshot() -> Snapshot:
    services = Service.objects.select_related("team", "target", "serving").order_by("name")
    return Snapshot(
        services=tuple(_service(service) for service in services if service.target is not None),
        keys=tuple(_key(key) for key in ApiKey.objects.live().select_related("team").order_by("key_id")),
        limits=Limits(max_payload_bytes=settings.MAX_PAYLOAD_BYTES),
    )


def _service(service: Service) -> GatewayService:
    revision = service.serving or service.target
    assert revision is not None
    ready = service.state in states.ROUTABLE and service.serving is not None and service.desired != DELETED
    rows = service.replica_set.filter(revision=service.serving).exclude(state=Replica.DRAINING) if ready else []
    # A replica that answered once stays: Envoy's own health checks are quicker than the console's.
    endpoints = tuple(Endpoint(HOST, row.http_port, row.grpc_port) for row in rows if row.started_at)
    return GatewayService(
        name=service.name, team=service.team.name, public=revision.spec["auth"]["policy"] == "public",
        ready=ready and bool(endpoints), message=_why_not(service), endpoints=endpoints,
    )


def _why_not(service: Service) -> str:
    """What a caller is told with a 503: the state only. Details may name paths, and are for the console's page."""
    return "" if service.state in states.ROUTABLE else f"Service {service.name} is {service.state}."


def _key(key: ApiKey) -> GatewayKey:
    return GatewayKey(
        id=key.key_id, digest=key.digest, team="*" if key.all_teams else key.team.name, services=tuple(key.services),
        can_infer="infer" in key.scopes, rate_limit_per_minute=key.rate_limit_per_minute,
    )


def _forget_old(keep: int = 200) -> None:
    old = list(GatewayRevision.objects.values_list("pk", flat=True)[keep : keep + 500])
    GatewayRevision.objects.filter(pk__in=old).delete()
