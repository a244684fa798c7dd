"""What the database says -> what the gateway does: snapshot, render, have Envoy check it, publish, write it down."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from django.conf import settings

from services.actions import tls
from services.actions.snapshot import HOST, limits
from services.actions.snapshot import take as snapshot
from services.errors import GatewayError, GatewaySilent
from services.gateway import publish as gateway
from services.gateway import status
from services.gateway.binary import find_envoy
from services.gateway.envoy.cluster import BACKENDS
from services.gateway.snapshot import Snapshot
from services.models import GatewayRevision, Replica, Service

__all__ = ["HOST", "open_up", "publish", "publish_now", "snapshot"]

logger = logging.getLogger(__name__)
KEPT_REVISIONS = 200
PATIENCE = 2.0
"""Seconds to wait for Envoy to take what was published; it mostly needs a tenth of one."""


def prepare() -> None:
    """All that Envoy needs to start; what was published stays. Raises GatewayError for a certificate that is wrong."""
    home, certificate = settings.HOME, tls.configured()
    with gateway.exclusive(home.gateway):
        gateway.prepare(
            home.gateway,
            host=settings.CONSOLE_BIND,
            port=settings.GATEWAY_PORT,
            limits=limits(),
            bridge_dir=home.bridge,
            tls=certificate,
        )


def publish_now() -> None:
    """`publish` for callers that can do nothing about a failure: it is logged, kept, and tried again by the sweep."""
    try:
        publish()
    except (GatewayError, OSError):
        logger.exception("the gateway keeps its last good configuration")


def open_up(service: Service, rows: Iterable[Replica]) -> str:
    """Publish, and wait a moment until Envoy sends requests to these replicas, over each of their protocols.

    Called before READY is said of them: a caller who reads that may call at once, and count on each replica. Returns
    what is missing after PATIENCE, for a later try; "" when all is well, and when Envoy is away.
    """
    publish_now()
    framework = BACKENDS[service.serving.spec["framework"]] if service.serving else BACKENDS["triton"]
    expected = {f"{HOST}:{port}" for row in rows for port in _ports(row, grpc=framework.grpc)}
    deadline = time.monotonic() + PATIENCE
    while reason := _lacking(service.name, expected):
        if time.monotonic() > deadline:
            return f"It answers. {reason}"
        time.sleep(0.05)
    return ""


def _ports(row: Replica, *, grpc: bool) -> tuple[int, ...]:
    return (row.http_port, row.grpc_port) if grpc else (row.http_port,)


def _lacking(service: str, expected: set[str]) -> str:
    """What Envoy has not done yet of sending requests to these addresses."""
    try:
        current = status.loaded(settings.HOME.gateway).current
        seen = [each for each in status.replicas(settings.HOME.gateway) if each.service == service]
    except GatewaySilent as error:
        return str(error)
    except GatewayError:
        return ""  # Envoy is away, and what it starts with is published
    if missing := expected - {each.address for each in seen if each.healthy}:
        return f"The gateway does not send requests to {', '.join(sorted(missing))} yet."
    return "" if current else "The gateway has not read its newest configuration yet."


def publish() -> GatewayRevision | None:
    """Tell the gateway the present state of services and keys. None when it knows already.

    Raises GatewayError when Envoy would refuse the configuration; the last good one goes on.
    """
    taken: list[Snapshot] = []

    def take() -> Snapshot:
        taken.append(snapshot())
        return taken[-1]

    if not gateway.is_prepared(settings.HOME.gateway):
        prepare()  # somebody removed a part: Envoy, which is tried again and again, then starts
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
