"""Which preheat gets a seat next, and which one gives its seat up? Pure.

A node copies a few rounds at once: each has a seat. Teams take turns: the one with the fewest seats comes first, and
within a team the round that had a seat the longest time ago, or never. While others wait, a round gives its seat up

- for a team that has at least two seats less than its own;
- for any round, when its source is slow;
- for a small round, or one of unknown size, when every seat is taken by large ones;
- for a team that has less seats, after a while, whatever its pace.

What a round has copied stays, and it goes on there in its next turn.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

SMALL = 64 << 20
"""Bytes up to which a round is small."""
HEARD = 2.0
"""Seconds that a round waits before anybody gives a seat up for it: a free seat is found sooner than that."""
SLOW_AFTER = 15.0
"""Seconds with a seat before a round may be called slow; twice as long each time it gave its seat up for that."""
LONGEST_DOUBLED = 4
PLANNING = 4
"""How many times as long it may take to list the files, which moves no bytes."""
SLICE = 600.0
"""Seconds after which a round gives its seat up for a team that has less seats."""


SLOW = "Its source is slow, and others wait: they go first. What was copied stays; it goes on in its turn."
OTHER_TEAM = "Makes room for another team. What was copied stays; it goes on in its turn."
TURN_OVER = "Paused so that another team can copy. Copied files are kept."
SMALL_FIRST = "Makes room for a small one. What was copied stays; it goes on in its turn."


@dataclass(frozen=True)
class Waiter:
    """`seconds`: since when it could start. `seated_at`: when it had a seat last; 0 if never. `size`: 0 if unknown."""

    round: int
    team: int
    seconds: float
    seated_at: float = 0.0
    size: int = 0
    slow: bool = False


@dataclass(frozen=True)
class Seat:
    """`seconds`: since when the round has it. `copying`: since when it copies; None while it lists its files.

    `pace`: bytes a second of late. `yields`: how often it gave its seat up because it was slow. `is_ending`: everything
    is copied, and it keeps its seat.
    """

    round: int
    team: int
    seconds: float
    copying: float | None = None
    pace: float = 0.0
    size: int = 0
    yields: int = 0
    is_ending: bool = False

    def is_slow(self, slow: float) -> bool:
        patience: float = SLOW_AFTER * 2 ** min(self.yields, LONGEST_DOUBLED)
        if self.copying is None:
            return self.seconds >= PLANNING * patience
        return self.pace < slow and self.copying >= patience


def line(waiting: Sequence[Waiter], seats: Sequence[Seat]) -> Iterator[Waiter]:
    """Everybody who waits, in the order in which they get the seats that become free."""
    held = Counter(seat.team for seat in seats)
    teams: dict[int, list[Waiter]] = {}
    for one in sorted(waiting, key=_turn, reverse=True):
        teams.setdefault(one.team, []).append(one)
    heads = [(held[team], *_turn(mine[-1]), team) for team, mine in teams.items()]
    heapq.heapify(heads)
    while heads:
        team = heapq.heappop(heads)[-1]
        yield teams[team].pop()
        held[team] += 1
        if teams[team]:
            heapq.heappush(heads, (held[team], *_turn(teams[team][-1]), team))


def _turn(one: Waiter) -> tuple[bool, float, int]:
    return one.slow, one.seated_at, one.round


def gives_up(mine: int, seats: Sequence[Seat], waiting: Sequence[Waiter], *, most: int, slow: float) -> str:
    """Why round `mine` gives its seat up now, in a sentence; "" when it keeps it.

    `most`: seats that there are. `slow`: bytes a second below which a source is slow; 0 for none. Of several that
    could give one up it is always the same that does, so that one waiter costs one of them its seat.
    """
    free = max(0, most - len(seats))
    stuck = [one for one in islice(line(waiting, seats), free, None) if one.seconds >= HEARD]
    movable = [seat for seat in seats if not seat.is_ending]
    if not stuck or all(seat.round != mine for seat in movable):
        return ""
    held = Counter(seat.team for seat in seats)
    slowest = [seat for seat in movable if slow and seat.is_slow(slow)]
    quick = [one for one in stuck if not one.slow]
    if slowest and quick and min(slowest, key=lambda seat: (seat.pace, seat.round)).round == mine:
        return SLOW
    for one in stuck:
        rivals = [seat for seat in movable if held[seat.team] - held[one.team] >= 2]
        if rivals and _latest(rivals, slow).round == mine:
            return OTHER_TEAM
        rivals = [seat for seat in movable if seat.seconds >= SLICE and held[seat.team] > held[one.team]]
        if rivals and max(rivals, key=lambda seat: (seat.seconds, seat.round)).round == mine:
            return TURN_OVER
    large = [seat for seat in movable if seat.size > SMALL]
    if len(large) >= most and any(one.size <= SMALL for one in quick) and _latest(large, slow).round == mine:
        return SMALL_FIRST
    return ""


def _latest(seats: Sequence[Seat], slow: float) -> Seat:
    """One that is slow, if there is, or the one that has its seat the shortest time."""
    return min(seats, key=lambda seat: (not seat.is_slow(slow), seat.seconds, -seat.round))


def waiting_message(position: int, seats: int, *, slow: bool) -> str:
    """What is said of a round that waits."""
    why = "Its source is slow, so others go first. " if slow else ""
    copied = "1 preheat is" if seats == 1 else f"{seats} preheats are"
    before = "It is the next." if position == 1 else f"{position - 1} wait before it."
    return f"{why}Waiting for its turn: {copied} under way. {before}"
