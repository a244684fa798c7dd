"""May a service take its share of a queue's quota now? Pure; strict first come, first served.

A service that can never fit is passed over instead of blocking those behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.policies import amounts
from services.policies.amounts import Amount
from services.specs import Resources


@dataclass(frozen=True)
class Decision:
    granted: bool
    reason: str
    """A sentence for people, also when granted."""


def never_fits(wanted: Resources, quota: Amount, queue: str) -> str:
    """Why `wanted` is more than the whole quota, or "" when it would fit an empty queue."""
    lacking = amounts.shortages(wanted, quota, Amount())
    if not lacking:
        return ""
    said = "; ".join(part.replace(" free", " in all") for part in lacking)
    return f"Queue {queue} is too small: {said}. Ask for less, or have an administrator raise its quota."


def decide(wanted: Resources, quota: Amount, used: Amount, queue: str, ahead: Sequence[Resources]) -> Decision:
    """`ahead`: what those before it in the queue want, first one first."""
    if impossible := never_fits(wanted, quota, queue):
        return Decision(False, impossible)
    blocking = [claim for claim in ahead if not never_fits(claim, quota, queue)]
    lacking = amounts.shortages(wanted, quota, used)
    position = f"{ordinal(len(blocking) + 1)} in queue {queue}"
    if lacking:
        return Decision(False, f"{position}: {'; '.join(lacking)}.")
    if blocking:
        return Decision(False, f"{position}: waits for those before it.")
    return Decision(True, f"Queue {queue} granted {amounts.say(wanted)}.")


def ordinal(number: int) -> str:
    """1 -> "1st", 12 -> "12th", 22 -> "22nd"."""
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
