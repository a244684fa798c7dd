"""Who owns a round: claiming one, renewing, and the fence that keeps a worker that lost it from writing.

Every write filters on the lease's token. 0 rows means that the round is somebody else's, or over: LeaseLost.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from datasets import states
from datasets.actions.round_log import announce, say
from datasets.errors import Cancelled, Paused
from datasets.models import Round
from datasets.querysets import RoundQuerySet

LEASE = 15.0
"""Seconds after which a worker that says nothing has lost its round."""
SILENCE = 3.0
"""Seconds without a word after which the sweep looks whether the owner still lives."""
LONGEST_PAUSE = 600.0
"""Seconds that a server may ask a round to wait for: no round that is to be tried again waits longer."""
BEAT = 0.5
"""Seconds between two writes of a worker: progress, renewal, and the look whether somebody cancelled."""


class LeaseLost(Exception):
    """The round no longer belongs to this worker. Not an error to show: its new owner goes on."""


def is_free(round_pk: int) -> bool:
    """Whether `claim` would take it now."""
    return bool(_free(round_pk).exists())


def claim(round_pk: int) -> str | None:
    """Takes a round of this node that no living worker owns; its token, or None when there is nothing to take."""
    now = timezone.now()
    token = secrets.token_hex(16)
    taken = _free(round_pk).update(
        lease_token=token,
        lease_until=now + timedelta(seconds=LEASE),
        started_at=Coalesce("started_at", Value(now)),
        seated_at=now,
        bytes_per_second=0.0,
    )
    return token if taken else None


def release_dead(is_held: Callable[[int], bool]) -> None:
    """Ends the leases of owners that are silent and do not hold their round's staging directory: they were killed.

    Without this a killed worker's round would lie still until its lease runs out. No lease and no pause is longer than
    these: one that is was written before the clock was set back, and would keep the round for as long as that.
    """
    now = timezone.now()
    ours = Round.objects.underway().filter(node=settings.NODE_NAME, lease_until__gt=now)
    ours.filter(lease_token="", lease_until__gt=now + timedelta(seconds=LONGEST_PAUSE)).update(lease_until=now)
    heard, longest = now + timedelta(seconds=LEASE - SILENCE), now + timedelta(seconds=LEASE)
    silent = ours.exclude(lease_token="").exclude(lease_until__range=(heard, longest))
    for round_pk, token in list(silent.values_list("pk", "lease_token")):
        if not is_held(round_pk):
            silent.filter(pk=round_pk, lease_token=token).update(lease_until=now)


def _free(round_pk: int) -> RoundQuerySet:
    return Round.objects.without_owner().filter(pk=round_pk, node=settings.NODE_NAME)


class Lease:
    """A claimed round. `note` remembers progress, `check` writes it at most every BEAT seconds."""

    def __init__(self, round_pk: int, token: str) -> None:
        self.round_pk, self.token = round_pk, token
        self._noted: dict[str, Any] = {}
        self._written = 0.0

    def note(self, **fields: Any) -> None:
        self._noted.update(fields)

    def check(self) -> None:
        """Raises LeaseLost, Cancelled or Paused when there is a reason to stop. Cheap enough to call often."""
        if time.monotonic() - self._written >= BEAT:
            self.write()

    def write(self, **fields: Any) -> None:
        """Writes what was noted and these fields, and renews the lease."""
        self._noted.update(fields)
        self._update(lease_until=timezone.now() + timedelta(seconds=LEASE), **self._noted)
        self._noted.clear()
        self._written = time.monotonic()
        wishes = Round.objects.filter(pk=self.round_pk).values_list("cancel_requested", "pause_requested").first()
        if wishes and wishes[0]:
            raise Cancelled("Cancelled.")
        if wishes and wishes[1]:
            raise Paused("Paused.")

    def release(self, *, wait: float, **fields: Any) -> None:
        """Gives the round back; the sweep hands it out again after `wait` seconds."""
        self._update(lease_token="", lease_until=timezone.now() + timedelta(seconds=wait), **self._noted, **fields)

    def pause(self) -> bool:
        """Lets go of the round until somebody resumes it. False when the pause was withdrawn."""
        still = Round.objects.underway().filter(
            pk=self.round_pk, lease_token=self.token, pause_requested=True, cancel_requested=False
        )
        return bool(
            still.update(state=states.PAUSED, pause_requested=False, lease_token="", lease_until=None, **self._noted)
        )

    def say(self, text: str) -> None:
        say(self.round_pk, text)

    def finish(self, state: str, **fields: Any) -> None:
        """active -> DONE, FAILED or CANCELLED."""
        with transaction.atomic():
            self._update(state=state, finished_at=timezone.now(), lease_until=None, **{**self._noted, **fields})
            announce(self.round_pk)

    def _update(self, **fields: Any) -> None:
        mine = Round.objects.underway().filter(pk=self.round_pk, lease_token=self.token)
        if not mine.update(**fields):
            raise LeaseLost
