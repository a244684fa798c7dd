"""Starts a replica again whose engine gave up: for ever, with growing pauses, once its revision has served.

The engine starts a process that ended again by itself, a few times, at once. What follows is here. The plan is in the
replica's row, so that it survives the worker.
"""

from __future__ import annotations

import random
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from services.control.transitions import log
from services.engines.base import Observation
from services.models import Replica
from services.policies.admission import ordinal

LONGEST = 30
"""The pause doubles until it is so many times the first one."""
UNEXPLAINED = "It ended each time it was started."
JITTER = 0.25
"""Replicas that ended for one reason, such as a full disk, are not all started again in one second."""


def has_served(replica: Replica) -> bool:
    """Whether its revision serves, or did before it was stopped: giving up is for first starts only."""
    return replica.revision.served_at is not None


def pause(attempt: int) -> timedelta:
    """Before the start number `attempt`, counted from 1."""
    first = settings.REPLICA_RETRY_SECONDS
    longest = first * LONGEST / (1 + JITTER)
    # The exponent is bounded: 2 ** 1100 is no float.
    seconds = min(first * 2 ** min(attempt - 1, 16), longest)
    return timedelta(seconds=seconds * random.uniform(1, 1 + JITTER))  # noqa: S311 - not a secret


def plan(replica: Replica, reason: str) -> None:
    """The engine gave up: say when the next start is."""
    replica.attempts += 1
    replica.retry_at = timezone.now() + pause(replica.attempts)
    replica.state = Replica.BACKOFF
    replica.message = f"{reason or UNEXPLAINED} {_next(replica)}"


def tell(replica: Replica, reason: str, detail: str) -> None:
    """One event for a series, however long it is."""
    sentence = f"Replica {replica.index} ends each time it is started, and is tried again after growing pauses:"
    log(replica.service, "replica", f"{sentence} {reason or UNEXPLAINED}", detail=detail)


def is_due(replica: Replica) -> bool:
    return replica.state == Replica.BACKOFF and (replica.retry_at is None or replica.retry_at <= timezone.now())


def begin(replica: Replica) -> None:
    """Its process is being started."""
    replica.restarts += 1
    replica.state = Replica.UNREADY


def forget(replica: Replica, seen: Observation) -> bool:
    """True when it has stayed up for as long as the longest pause, and its next end begins a new series."""
    if not replica.attempts or seen.uptime < settings.REPLICA_RETRY_SECONDS * LONGEST:
        return False
    replica.attempts, replica.retry_at = 0, None
    return True


def _next(replica: Replica) -> str:
    assert replica.retry_at is not None
    at = timezone.localtime(replica.retry_at)
    return f"It is started again at {at:%H:%M:%S %Z}, for the {ordinal(replica.attempts)} time."
