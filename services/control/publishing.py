"""What the database says -> what the gateway does: snapshot, render, have Envoy check it, publish, write it down."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from django.conf import settings

from services import wiring
from services.control import certificates
from services.control.snapshot import keys as snapshot_keys
from services.control.snapshot import limits
from services.control.snapshot import take as snapshot
from services.control.transitions import log
from services.errors import GatewayError, GatewaySilent
from services.gateway import credentials, locks, status
from services.gateway import publish as gateway
from services.gateway.binary import find_envoy
from services.gateway.envoy.cluster import BACKENDS
from services.gateway.snapshot import Snapshot
from services.models import GatewayRevision, Replica, Service

__all__ = ["open_up", "publish", "publish_keys", "publish_now", "snapshot"]

logger = logging.getLogger(__name__)
KEPT_REVISIONS = 200
PATIENCE = 2.0
"""Seconds to wait for Envoy to take what was published; it mostly needs a tenth of one."""


def prepare() -> None:
    """All that Envoy needs to start; what was published stays. Raises GatewayError for a certificate that is wrong."""
    home, certificate = settings.HOME, certificates.configured()
    with locks.exclusive(home.gateway, locks.SERVICES, gateway.WAIT_SECONDS):
        gateway.prepare(
            home.gateway,
            host=settings.CONSOLE_BIND,
            port=settings.GATEWAY_PORT,
            limits=limits(),
            bridge_dir=home.bridge,
            tls=certificate,
            proxies=[str(network) for network in settings.TRUSTED_PROXIES],
        )


def publish_now() -> None:
    """`publish` for callers that can do nothing about a failure: it is logged, kept, and tried again by the sweep."""
    try:
        publish()
    except (GatewayError, OSError):
        logger.exception("the gateway keeps its last good configuration")


def open_up(service: Service, rows: Iterable[Replica]) -> str:
    """Publish, and wait a moment until Envoy sends requests to these replicas, over each of their protocols.

    Call before marking the replicas READY. Returns what is missing after PATIENCE, for a later try; "" when all is
    well, and when Envoy is away.
    """
    publish_now()
    framework = BACKENDS[service.serving.spec["framework"]] if service.serving else BACKENDS["triton"]
    expected = {address for row in rows for address in _addresses(row, grpc=framework.grpc)}
    deadline = time.monotonic() + PATIENCE
    while reason := _lacking(service.name, expected):
        if time.monotonic() > deadline:
            return f"It answers. {reason}"
        time.sleep(0.05)
    return ""


def _addresses(row: Replica, *, grpc: bool) -> tuple[str, ...]:
    listeners = wiring.engine().listeners(row.process_name)
    return (str(listeners.http), str(listeners.grpc)) if grpc else (str(listeners.http),)


def _lacking(service: str, expected: set[str]) -> str:
    """What Envoy has not done yet of sending requests to these addresses."""
    try:
        current = status.loaded(settings.HOME.gateway).current
        seen = [each for each in status.replicas(settings.HOME.gateway) if each.service == service]
    except GatewaySilent as error:
        return str(error)
    except GatewayError:
        return ""  # Envoy is away, and what it starts with is published
    if expected - {each.address for each in seen if each.healthy}:
        return "The gateway does not send requests to it yet."
    return "" if current else "The gateway has not read its newest configuration yet."


def publish() -> GatewayRevision | None:
    """Tell the gateway the present state of services and keys. None when it knows already.

    A service that Envoy refuses is left out, and says so. Raises GatewayError when nothing could be published; the last
    good configuration goes on.
    """
    taken: list[Snapshot] = []

    def take() -> Snapshot:
        taken.append(snapshot())
        return taken[-1]

    keys_changed, _ = _try_keys()
    if not gateway.is_prepared(settings.HOME.gateway):
        prepare()  # somebody removed a part: Envoy, which is tried again and again, then starts
    try:
        delivered = gateway.deliver(take, settings.HOME.gateway, find_envoy())
    except (GatewayError, OSError) as error:
        _write_down(taken, str(error))
        raise
    changed, problem = _try_keys()  # those that had to wait for their limits
    _note_refusals(delivered.refused)
    problem = problem or _left_out(delivered.refused)
    newest = GatewayRevision.objects.first()
    # An error that is over, and keys that were published on their own.
    stale = newest is None or (newest.error, newest.keys) != (problem, len(taken[-1].keys))
    return _write_down(taken, problem) if delivered.changed or keys_changed or changed or stale else None


def publish_keys() -> bool:
    """Tell the gateway which keys there are now. False when it knows already. Nothing about a service holds this up.

    Raises GatewayError; what was published goes on.
    """
    return credentials.deliver(snapshot_keys, settings.HOME.gateway)


def _try_keys() -> tuple[bool, str]:
    """Whether they changed, and what went wrong: services are published all the same."""
    try:
        return publish_keys(), ""
    except GatewayError as error:
        logger.error("keys were not published: %s", error)
        return False, str(error)


def _note_refusals(refused: Mapping[str, str]) -> None:
    """On each service, with an event when it begins."""
    for name, why in refused.items():
        for service in Service.objects.filter(name=name).exclude(gateway_message=why):
            Service.objects.filter(pk=service.pk).update(gateway_message=why)
            log(service, "gateway", f"Left out of the gateway: {why}")
    Service.objects.exclude(gateway_message="").exclude(name__in=refused).update(gateway_message="")


def _left_out(refused: Mapping[str, str]) -> str:
    if not refused:
        return ""
    first = next(iter(sorted(refused)))
    more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
    return f"{GatewayRevision.LEFT_OUT} {first}{more}. {refused[first]}"


def _write_down(taken: list[Snapshot], error: str) -> GatewayRevision:
    shot = taken[-1] if taken else Snapshot()
    newest = GatewayRevision.objects.first()
    if error and newest is not None and newest.error == error:
        return newest  # the sweep tries again every few seconds; once is enough to be told
    revision = GatewayRevision.objects.create(services=len(shot.services), keys=len(shot.keys), error=error)
    old = GatewayRevision.objects.values_list("pk", flat=True)[KEPT_REVISIONS : KEPT_REVISIONS + 100]
    GatewayRevision.objects.filter(pk__in=list(old)).delete()
    return revision
