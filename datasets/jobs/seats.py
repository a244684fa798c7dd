"""The seats of this node's preheats: who has one, who waits, and whether a round has to give its own up."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from itertools import islice

from django.conf import settings
from django.utils import timezone

from datasets import states
from datasets.errors import Yielded
from datasets.jobs import turns
from datasets.jobs.turns import Seat, Waiter
from datasets.models import Round

MOST = 4
"""Rounds that one worker process does side by side: fewer than its threads, so that others can be handed out."""
LOOK = 1.0
"""Seconds between two looks of a round whether others need its seat."""
COLUMNS = (
    "dataset__team_id",
    "state",
    "lease_until",
    "created_at",
    "seated_at",
    "planned_at",
    "bytes_total",
    "bytes_per_second",
    "slow_yields",
)


class Seats:
    """Those of this process."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._taken = 0

    def take(self) -> bool:
        """False when no seat is free."""
        with self._lock:
            if self._taken >= self.most:
                return False
            self._taken += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._taken -= 1

    def left(self) -> int:
        return self.most - self._taken


def following(round_pk: int, free: int) -> int:
    """The round to do now: the one that a message names, if it is among the `free` next ones, or the next one."""
    order = [one.round for one in islice(turns.line(waiting(), seated()), free)]
    return round_pk if not order or round_pk in order else order[0]


def call(limit: int) -> list[int]:
    """The next rounds that could start, `limit` at most. Those that no seat is left for are told what they wait for."""
    seats = seated()
    order = list(turns.line(waiting(), seats))
    rows = Round.objects.filter(pk__in=[one.round for one in order], lease_token="")
    messages = dict(rows.values_list("pk", "message"))
    changed = []
    for position, one in enumerate(order[max(0, MOST - len(seats)) :], start=1):
        message = turns.waiting_message(position, len(seats), slow=one.slow)
        if messages.get(one.round, message) != message:
            changed.append(Round(pk=one.round, message=message))
    rows.bulk_update(changed, ["message"], batch_size=200)
    return [one.round for one in order[:limit]]


def seated() -> list[Seat]:
    """Rounds of this node that a living worker has."""
    now = timezone.now()
    rows = Round.objects.underway().filter(node=settings.NODE_NAME, lease_until__gt=now).exclude(lease_token="")
    return [
        Seat(
            row.pk,
            row.dataset.team_id,
            _seconds(row.seated_at, now),
            _seconds(row.planned_at, now) if row.planned_at and row.planned_at >= (row.seated_at or now) else None,
            row.bytes_per_second,
            row.bytes_total,
            row.slow_yields,
            row.state == states.VERIFYING,
        )
        for row in rows.order_by().select_related("dataset").only(*COLUMNS)
    ]


def waiting() -> list[Waiter]:
    """Rounds of this node that could start now."""
    now, slow = timezone.now(), settings.PREHEAT_SLOW_BYTES_PER_SECOND
    rows = Round.objects.without_owner().filter(node=settings.NODE_NAME)
    return [
        Waiter(
            row.pk,
            row.dataset.team_id,
            _seconds(row.lease_until or row.created_at, now),
            row.seated_at.timestamp() if row.seated_at else 0.0,
            row.bytes_total,
            row.slow_yields > 0 and row.bytes_per_second < slow,
        )
        for row in rows.order_by().select_related("dataset").only(*COLUMNS)
    ]


def _seconds(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since is not None else 0.0


class Turn:
    """A round's seat. `check` is called often, and looks now and then."""

    def __init__(self, round_pk: int, most: int) -> None:
        self._round_pk, self._most = round_pk, most
        self._looked = time.monotonic()

    def check(self) -> None:
        """Raises Yielded when others need the seat more."""
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        if others := waiting():
            slow = settings.PREHEAT_SLOW_BYTES_PER_SECOND
            if reason := turns.gives_up(self._round_pk, seated(), others, most=self._most, slow=slow):
                raise Yielded(reason, permanent=False)
