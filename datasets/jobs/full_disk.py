"""Rounds that wait for room on the disk, and what each needs: waiting costs no listing and no line of its log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import NoRoomYet
from datasets.jobs.leases import Lease
from datasets.preheat.copying.copy import has_room

WAIT = 3.0
"""Seconds until a round that waits for room looks again."""
PLAN_AGAIN = 60.0
"""Seconds after which it is planned anew although there is too little: the source may have shrunk, the store grown."""


@dataclass
class _Shortage:
    error: NoRoomYet
    since: float


_short: dict[int, _Shortage] = {}
"""By round, of this process. One that starts finds out again."""


def require(lease: Lease, store: Path) -> None:
    """Raises NoRoomYet, as the last try did, while there is no more room than then."""
    shortage = _short.get(lease.round_pk)
    if shortage and time.monotonic() - shortage.since < PLAN_AGAIN and not has_room(store, shortage.error.need):
        raise shortage.error


def short(lease: Lease, error: NoRoomYet) -> None:
    """Gives the round back until there may be room. Its log says so once."""
    shortage = _short.get(lease.round_pk)
    if shortage is None or shortage.error is not error:
        _short[lease.round_pk] = _Shortage(error, time.monotonic())
    lease.release(wait=WAIT, message=str(error))
    if shortage is None:
        lease.say(str(error))


def forget(lease: Lease) -> None:
    _short.pop(lease.round_pk, None)
