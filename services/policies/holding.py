"""When does a claim that others pass come first? Pure.

A claim that was passed and has waited for `patience` may hold its queue for `length`: what it needs is kept for it, and
nobody passes it in that time. One that nobody passed needs no hold: it is served in its order. Services run until
somebody stops them, so a hold may well end without room; then the others go on for `patience` again, and the next hold
is another claim's. Nobody can stop a queue for longer than one hold that way, whatever they ask for, and each claim
that waits gets its turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.policies.admission import Claim

BREATH = timedelta(minutes=1)
"""After a hold that was of use, so that whatever fits meanwhile is granted before the next."""


@dataclass(frozen=True)
class Hold:
    """`until` stays when it is over: the next hold begins `patience` after it at the earliest."""

    key: int
    until: datetime


def next_hold(
    last: Hold | None,
    waiting: Sequence[Claim],
    held_at: Mapping[int, datetime],
    *,
    now: datetime,
    patience: timedelta,
    length: timedelta,
) -> Hold | None:
    """The hold from now on. `waiting`: claims in the line that do not fit. `held_at`: when each held last."""
    if last is not None and now < last.until + patience:
        return last  # also when that claim was taken back: asking and taking back must not begin hold after hold
    due = [claim for claim in waiting if claim.passed and now - claim.queued_at >= patience]
    if not due or not length:
        return last
    first = min(due, key=lambda claim: (held_at.get(claim.key, claim.queued_at), claim.queued_at, claim.key))
    return Hold(first.key, now + length)


def fulfilled(hold: Hold, *, now: datetime, patience: timedelta) -> Hold:
    """The claim was granted. The next hold need not wait for long: holding brings this queue on."""
    return Hold(hold.key, now - patience + BREATH)
