"""Whether the gateway already does what the database says of a key, from asking: what it has read, and what it will.

A key that was made or revoked counts as that only when Envoy runs with a file in which it is, or is not. Until then
people and programs are told what holds it up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from django.conf import settings
from django.utils import timezone

from services import dispatch
from services.control import publishing
from services.errors import GatewayError
from services.gateway import credentials, status
from services.models import ApiKey

PATIENCE: Final = 2.0
"""Seconds that an answer waits for Envoy, which mostly needs a tenth of one."""
_LOOK_SECONDS: Final = 0.02
LOADING: Final = "The gateway is loading the change."
WAITING: Final = "Waiting for the key's concurrency limit to be published."
GATEWAY_DOWN: Final = "The gateway does not answer. It has this before it takes requests again."
LATER: Final = "The console tries again every few seconds."


@dataclass(frozen=True)
class Delivery:
    applied: Annotated[bool, "Whether the gateway does what is said here of the key."] = True
    message: Annotated[str, "What holds it up; empty when it is applied."] = ""


@dataclass(frozen=True)
class Waiting:
    rows: tuple[ApiKey, ...]
    """Keys not yet written to Envoy's file."""
    message: str
    """What holds these up, or everything; empty when nothing is waited for."""

    def __bool__(self) -> bool:
        return bool(self.message)


def carry_out(rows: Sequence[ApiKey]) -> Delivery:
    """Publish the keys, and wait a moment until Envoy runs with what the rows say now."""
    problem = _publish()
    dispatch.publish()  # the limits of requests at once, and another try
    deadline = time.monotonic() + PATIENCE
    while not (delivery := _worst(_states(rows, problem).values())).applied:
        if problem or time.monotonic() > deadline:
            break
        time.sleep(_LOOK_SECONDS)
    return delivery


def states(rows: Sequence[ApiKey]) -> dict[int, Delivery]:
    """By primary key. Tries once more what is not published yet, so that the reason is the present one."""
    deliveries = _states(rows)
    if all(delivery.applied for delivery in deliveries.values()):
        return deliveries
    return _states(rows, _publish())


def waiting(rows: Iterable[ApiKey]) -> Waiting:
    """Keys whose changes the gateway has not applied."""
    every = list(rows)
    deliveries = states(every)
    late = tuple(row for row in every if not deliveries[row.pk].applied)
    digests = credentials.published(settings.HOME.gateway).digests
    unwritten = tuple(row for row in late if _is_live(row) != (row.digest in digests))
    return Waiting(unwritten, deliveries[(unwritten or late)[0].pk].message if late else "")


def _publish() -> str:
    try:
        publishing.publish_keys()
    except GatewayError as error:
        return f"{error} {LATER}"
    return ""


def _states(rows: Iterable[ApiKey], problem: str = "") -> dict[int, Delivery]:
    published = credentials.published(settings.HOME.gateway)
    running = _running()
    return {row.pk: _state(row, published, running, problem) for row in rows}


def _state(row: ApiKey, published: credentials.Published, running: str | None, problem: str) -> Delivery:
    if _is_live(row) != (row.digest in published.digests):
        return Delivery(False, problem or (WAITING if row.max_concurrent and not row.revoked_at else LOADING))
    if running is None:
        return Delivery(False, GATEWAY_DOWN)
    return Delivery() if running == published.version else Delivery(False, LOADING)


def _is_live(row: ApiKey) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > timezone.now())


def _running() -> str | None:
    """The version of the keys that Envoy runs with; None when it does not answer."""
    try:
        return status.running_keys(settings.HOME.gateway)
    except (GatewayError, OSError, ValueError):
        return None


def _worst(deliveries: Iterable[Delivery]) -> Delivery:
    return next((each for each in deliveries if not each.applied), Delivery())
