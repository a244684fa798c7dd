"""May a service take its share of a queue's quota now? Pure: the line of a queue, with a sentence for everybody in it.

The order is by team, the one that holds least of the queue first, and within a team first come, first served. A claim
that does not fit now is passed by later ones that do. One claim at a time may hold the queue (holding.py): it comes
first, and what it needs is kept for it. With `strict` nobody is passed.

A claim that could not be granted even if nothing ran is no part of the line: it would block the others for good.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from services.policies import amounts, placement
from services.policies.amounts import Amount
from services.policies.placement import Candidate, Placement
from services.specs import Affinity, Resources

FAIR: Final = "fair"
STRICT: Final = "strict"
ORDERS: Final = [
    (FAIR, "Fair: by team in turn; what fits passes what does not fit yet"),
    (STRICT, "Strict: first come, first served; nobody is passed"),
]


@dataclass(frozen=True)
class Decision:
    granted: bool
    reason: str
    """A sentence for people, also when granted."""


@dataclass(frozen=True)
class Claim:
    """What one service waits for: `replicas` times `resources`, all at once."""

    key: int
    team: int
    resources: Resources
    replicas: int
    queued_at: datetime
    affinity: Affinity = field(default_factory=Affinity)
    passed: int = 0
    """How many went ahead of it (see `passed_by`)."""

    @property
    def total(self) -> Resources:
        return self.resources.times(self.replicas)


@dataclass(frozen=True)
class Room:
    """A queue's quota and the nodes, with what is taken of both."""

    quota: Amount
    used: Amount
    nodes: tuple[Candidate, ...]

    def empty(self) -> Room:
        nodes = tuple(Candidate(candidate.node, Amount()) for candidate in self.nodes)
        return Room(self.quota, Amount(), nodes)

    def lacks(self, claim: Claim) -> list[str]:
        """What of the quota is missing for it."""
        return amounts.shortages(claim.total, self.quota, self.used)

    def place(self, claim: Claim) -> Placement:
        return placement.place(claim.resources, claim.affinity, self.nodes, claim.replicas)

    def take(self, claim: Claim, nodes: Iterable[str]) -> Room:
        used = {candidate.node.name: candidate.used for candidate in self.nodes}
        for name in nodes:
            used[name] = used[name].plus(claim.resources)
        return Room(
            self.quota,
            self.used.plus(claim.total),
            tuple(Candidate(candidate.node, used[candidate.node.name]) for candidate in self.nodes),
        )

    def keep(self, claim: Claim) -> Room:
        """Without what `claim` needs, on each node that could run it: none of these is given to others meanwhile."""
        empty, kept = self.empty(), []
        for candidate, bare in zip(self.nodes, empty.nodes, strict=True):
            used, count = candidate.used, 0
            while count < claim.replicas and placement.judge(claim.resources, claim.affinity, bare).fits:
                used, bare = used.plus(claim.resources), Candidate(bare.node, bare.used.plus(claim.resources))
                count += 1
            kept.append(Candidate(candidate.node, used))
        return Room(self.quota, self.used.plus(claim.total), tuple(kept))


@dataclass(frozen=True)
class Standing:
    """Where a claim stands. `position` counts from 1; 0 is outside of the line."""

    claim: Claim
    position: int
    decision: Decision
    nodes: tuple[str, ...] = ()
    """Where its replicas go, when granted."""

    @property
    def waits(self) -> bool:
        return self.position > 0 and not self.decision.granted


def rank(
    claims: Sequence[Claim],
    room: Room,
    queue: str,
    *,
    order: str = FAIR,
    used_by: Mapping[int, Amount] | None = None,
    held_for: int | None = None,
    held_until: datetime | None = None,
) -> dict[int, Standing]:
    """Key -> where that claim stands. `used_by`: what each team holds of the queue.

    Those granted fit all together, so they may be served in any order.
    """
    standings: dict[int, Standing] = {}
    possible = []
    for claim in claims:
        if reason := _never(claim, room, queue):
            standings[claim.key] = Standing(claim, 0, Decision(False, reason))
        else:
            possible.append(claim)
    free, waiting, kept = room, list[Claim](), ""
    for position, claim in enumerate(_line(possible, order, room.quota, used_by or {}, held_for), start=1):
        chosen = None if free.lacks(claim) else free.place(claim)
        if chosen is not None and chosen.nodes and not (order == STRICT and waiting):
            decision = Decision(True, f"Queue {queue} granted {amounts.say(claim.total)}.")
            standings[claim.key] = Standing(claim, position, decision, chosen.nodes)
            free = free.take(claim, chosen.nodes)
            continue
        holds = claim.key == held_for
        if holds and held_until is not None:
            kept = f"until {held_until.astimezone(UTC):%H:%M} UTC"
            free = free.keep(claim)
        waiting.append(claim)
        reason = f"{ordinal(position)} in queue {queue}: {_why(claim, room, kept, holds)}{_passed(claim)}"
        standings[claim.key] = Standing(claim, position, Decision(False, reason))
    return standings


def _line(
    claims: Sequence[Claim], order: str, quota: Amount, used_by: Mapping[int, Amount], held_for: int | None
) -> list[Claim]:
    arrivals = sorted(claims, key=lambda claim: (claim.queued_at, claim.key))
    if order == STRICT:
        return arrivals
    line = [claim for claim in arrivals if claim.key == held_for]
    teams: dict[int, list[Claim]] = {}
    for claim in reversed(arrivals):
        if claim.key != held_for:
            teams.setdefault(claim.team, []).append(claim)
    held = {team: used_by.get(team, Amount()) for team in teams}
    turns = [(amounts.share(held[team], quota), mine[-1].queued_at, team) for team, mine in teams.items()]
    heapq.heapify(turns)
    while turns:
        _, _, team = heapq.heappop(turns)
        claim = teams[team].pop()
        line.append(claim)
        held[team] = held[team].plus(claim.total)
        if teams[team]:
            heapq.heappush(turns, (amounts.share(held[team], quota), teams[team][-1].queued_at, team))
    return line


def never_fits(resources: Resources, quota: Amount, queue: str) -> str:
    """Why `resources` is more than the whole quota, or "" when it would fit an empty queue."""
    lacking = amounts.shortages(resources, quota, Amount())
    if not lacking:
        return ""
    total = "; ".join(part.replace(" free", " in all") for part in lacking)
    return f"Queue {queue} is too small: {total}. Request less, or ask an administrator to raise its quota."


def _never(claim: Claim, room: Room, queue: str) -> str:
    if reason := never_fits(claim.total, room.quota, queue):
        return reason
    return "" if room.empty().place(claim).nodes else room.place(claim).reason


def passed_by(key: int, standings: Mapping[int, Standing]) -> list[int]:
    """Keys of the claims that wait on when that one is granted, although they came or stand before it."""
    mine = standings[key]
    return [
        other.claim.key
        for other in standings.values()
        if other.waits and (other.position < mine.position or other.claim.queued_at < mine.claim.queued_at)
    ]


def ahead_of(count: int) -> str:
    """A sentence for one that was granted before so many others; "" when there are none."""
    others = "1 service" if count == 1 else f"{count} services"
    return f"It went ahead of {others} that cannot start yet." if count else ""


def _why(claim: Claim, room: Room, kept: str, holds: bool) -> str:
    """`kept`: until when somebody holds the queue; "" when nobody does."""
    if lacking := room.lacks(claim):
        reason = f"{'; '.join(lacking)}."
    elif not (chosen := room.place(claim)).nodes:
        reason = chosen.reason
    elif kept:
        return f"what is free is kept {kept} for a service that has waited longer."
    else:
        return "waits for those before it."
    return f"{reason} Freed capacity is reserved for it {kept}." if holds else reason


def _passed(claim: Claim) -> str:
    if not claim.passed:
        return ""
    others = "1 other that fits" if claim.passed == 1 else f"{claim.passed} others that fit"
    return f" {others} went ahead."


def ordinal(number: int) -> str:
    """1 -> "1st", 12 -> "12th", 22 -> "22nd"."""
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
