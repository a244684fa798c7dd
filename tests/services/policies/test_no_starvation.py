"""Queues over a long time, with any claims: nothing is given twice, and nobody waits for ever or stops the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.policies.admission import FAIR, STRICT, Claim, Room, passed_by, rank
from services.policies.amounts import Amount
from services.policies.holding import Hold, fulfilled, next_hold
from services.policies.placement import Candidate
from services.specs import NodeInfo, Resources

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PATIENCE, LENGTH = 10, 5
QUOTA = Amount(8, 16, {"": 2})
NODES = (NodeInfo("a", {}, 6, 12, {"": 1}), NodeInfo("b", {}, 4, 8, {"": 1}))
BIGGEST = Resources(cpu=6)
"""Fits the empty queue, on an empty node `a` only."""

SIZES = st.builds(
    Resources,
    cpu=st.sampled_from([0.1, 0.5, 1.0, 3.0, 6.0]),
    memory_gib=st.sampled_from([0.5, 1.0, 4.0, 8.0]),
    gpu=st.sampled_from([0, 0, 0, 1]),
)


@dataclass
class World:
    """One queue. What was granted runs for some minutes; each minute is one look at the line."""

    order: str = FAIR
    patience: int = PATIENCE
    now: int = 0
    waiting: dict[int, Claim] = field(default_factory=dict)
    running: list[tuple[int, Claim, tuple[str, ...]]] = field(default_factory=list)
    granted_at: dict[int, int] = field(default_factory=dict)
    held_at: dict[int, datetime] = field(default_factory=dict)
    hold: Hold | None = None

    def ask(self, team: int, resources: Resources, replicas: int = 1) -> int:
        key = len(self.waiting) + len(self.granted_at) + 1
        self.waiting[key] = Claim(key, team, resources, replicas, START + self.now * MINUTE)
        return key

    def room(self) -> Room:
        room = Room(QUOTA, Amount(), tuple(Candidate(node, Amount()) for node in NODES))
        for _, claim, nodes in self.running:
            room = room.take(claim, nodes)
        return room

    def minute(self, life: int) -> None:
        """`life`: how long what is granted now will run."""
        self.running = [one for one in self.running if one[0] > self.now]
        now, room, claims = START + self.now * MINUTE, self.room(), list(self.waiting.values())
        used_by: dict[int, Amount] = {}
        for _, claim, _nodes in self.running:
            used_by[claim.team] = used_by.get(claim.team, Amount()).plus(claim.total)
        if self.order == FAIR:
            standings_by_key = rank(claims, room, "q", used_by=used_by)
            stuck = [one.claim for one in standings_by_key.values() if one.waits]
            hold = next_hold(
                self.hold, stuck, self.held_at, now=now, patience=self.patience * MINUTE, length=LENGTH * MINUTE
            )
            if hold is not None and hold != self.hold and hold.until > now:
                self.held_at[hold.key] = now
            self.hold = hold
        active = self.hold if self.hold is not None and now < self.hold.until else None
        standings = rank(
            claims,
            room,
            "q",
            order=self.order,
            used_by=used_by,
            held_for=active.key if active else None,
            held_until=active.until if active else None,
        )
        for key, standing in standings.items():
            assert standing.decision.reason
            if standing.decision.granted:
                claim = self.waiting.pop(key)
                self.granted_at[key] = self.now
                self.running.append((self.now + life, claim, standing.nodes))
                if self.hold is not None and self.hold.key == key:
                    self.hold = fulfilled(self.hold, now=now, patience=self.patience * MINUTE)
                for passed in passed_by(key, standings):
                    self.waiting[passed] = replace(self.waiting[passed], passed=self.waiting[passed].passed + 1)
        self.check_nothing_is_given_twice()
        self.now += 1

    def check_nothing_is_given_twice(self) -> None:
        room = self.room()
        assert room.used.cpu <= QUOTA.cpu + 1e-6 and room.used.memory_gib <= QUOTA.memory_gib + 1e-6
        assert sum(room.used.gpus.values()) <= 2
        for candidate in room.nodes:
            node, used = candidate.node, candidate.used
            assert used.cpu <= node.cpu + 1e-6 and used.memory_gib <= node.memory_gib + 1e-6
            assert sum(used.gpus.values()) <= 1


@given(
    st.lists(st.tuples(st.integers(1, 4), SIZES, st.integers(1, 2)), min_size=1, max_size=40),
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.sampled_from([FAIR, STRICT]),
)
@settings(max_examples=60, deadline=None)
def test_every_claim_that_fits_an_empty_queue_is_granted_in_the_end(
    claims: list[tuple[int, Resources, int]], lives: list[int], order: str
) -> None:
    world = World(order)
    possible = set()
    for number, (team, resources, replicas) in enumerate(claims):
        key = world.ask(team, resources, replicas)
        claim = world.waiting[key]
        empty = world.room().empty()
        if not empty.lacks(claim) and empty.place(claim).nodes:
            possible.add(key)
        world.minute(lives[number % len(lives)])
    for number in range(60 * len(claims)):
        world.minute(lives[number % len(lives)])
    assert set(world.granted_at) == possible


def crowded(world: World, lives: list[int], teams: int) -> bool:
    """Whether a large claim is granted while others ask for as many small ones as the queue holds, every minute."""
    big = 0
    for minute in range(8 + PATIENCE + LENGTH + 1):
        for number in range(8):
            world.ask(1 + number % teams, Resources(cpu=1))
        if minute == 8:
            big = world.ask(9, BIGGEST)
        world.minute(lives[minute % len(lives)])
    return big in world.granted_at


@given(st.lists(st.integers(1, LENGTH), min_size=1, max_size=10), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_large_claim_is_not_starved_by_small_ones_without_end(lives: list[int], teams: int) -> None:
    assert crowded(World(), lives, teams)


def test_without_holding_the_queue_it_would_be() -> None:
    assert not crowded(World(patience=10**6), [2, 3, 5], 2)


@pytest.mark.parametrize("rivals", [1, 3, 12])
def test_claims_that_cannot_be_met_stop_nobody_for_longer_than_one_hold(rivals: int) -> None:
    """Something runs for ever, so that these never fit; and their team asks and takes back as it likes."""
    world = World()
    world.ask(5, Resources(cpu=3))
    world.minute(10**6)
    world.running[0] = (10**6, world.running[0][1], ("a",))
    for _ in range(rivals):
        world.ask(1, BIGGEST)
    waits = []
    for _ in range(200):
        small, start = world.ask(2, Resources(cpu=0.5)), world.now
        while small not in world.granted_at:
            if rivals > 1 and world.now % 4 == 0:  # one goes, and a new one comes
                gone = next(key for key, claim in world.waiting.items() if claim.team == 1)
                world.granted_at[gone] = -1
                del world.waiting[gone]
                world.ask(1, BIGGEST)
            world.minute(1)
            assert world.now - start <= LENGTH + 1
        waits.append(world.now - start)
    assert min(waits) >= 1


def test_each_that_waits_holds_the_queue_in_its_turn() -> None:
    claims = [Claim(key, key, BIGGEST, 1, START + key * MINUTE, passed=1) for key in (1, 2, 3)]
    hold: Hold | None = None
    held: dict[int, datetime] = {}
    turns = []
    for minute in range(100):
        now = START + minute * MINUTE
        after = next_hold(hold, claims, held, now=now, patience=PATIENCE * MINUTE, length=LENGTH * MINUTE)
        if after is not None and after != hold and after.until > now:
            held[after.key] = now
            turns.append((minute, after.key))
        hold = after
    assert [key for _, key in turns] == [1, 2, 3, 1, 2, 3]
    assert [minute for minute, _ in turns] == [11, 26, 41, 56, 71, 86]
