"""Who gets a seat, who gives one up, and that nobody waits for ever."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.jobs.turns import (
    HEARD,
    LONGEST_DOUBLED,
    OTHER_TEAM,
    PLANNING,
    SLICE,
    SLOW,
    SLOW_AFTER,
    SMALL,
    SMALL_FIRST,
    TURN_OVER,
    Seat,
    Waiter,
    gives_up,
    line,
    waiting_message,
)

MOST, PACE = 4, 256 << 10
QUICK = 50 << 20
GIB = 1 << 30


def seat(number: int, team: int = 1, seconds: float = 100, **fields: object) -> Seat:
    return replace(Seat(number, team, seconds, seconds, QUICK, GIB), **fields)


def waiter(number: int, team: int = 2, **fields: object) -> Waiter:
    return replace(Waiter(number, team, HEARD, size=GIB), **fields)


def leaving(seats: list[Seat], *waiting: Waiter) -> dict[int, str]:
    """Who gives its seat up now, and why."""
    reasons = {one.round: gives_up(one.round, seats, waiting, most=MOST, slow=PACE) for one in seats}
    return {number: reason for number, reason in reasons.items() if reason}


def order(waiting: list[Waiter], seats: list[Seat]) -> list[int]:
    return [one.round for one in line(waiting, seats)]


def test_teams_take_turns() -> None:
    assert order([waiter(1), waiter(2), waiter(3), waiter(4, 3)], []) == [1, 4, 2, 3]
    assert order([waiter(1, 1), waiter(2, 2)], [seat(9, 1)]) == [2, 1]


def test_within_a_team_the_one_whose_last_turn_is_longest_ago_comes_first_and_slow_ones_last() -> None:
    waiting = [waiter(1, seated_at=20), waiter(2, seated_at=10), waiter(3), waiter(4, slow=True)]
    assert order(waiting, []) == [3, 2, 1, 4]


def test_nobody_leaves_while_nobody_waits_or_a_seat_is_free() -> None:
    slow = [seat(number, pace=0) for number in range(4)]
    assert leaving(slow) == {}
    assert leaving(slow[:3], waiter(9)) == {}
    assert leaving(slow, waiter(9, seconds=0)) == {}, "it may find a free seat yet"


def test_the_slowest_source_lets_others_go_first_also_of_its_own_team() -> None:
    seats = [seat(0), seat(1, pace=30), seat(2, pace=20), seat(3)]
    assert leaving(seats, waiter(9, 1)) == {2: SLOW}
    assert leaving(seats, waiter(9, 1, slow=True)) == {}, "two that are slow only take turns by their teams"


def test_a_source_has_time_to_show_its_pace_and_more_of_it_each_time() -> None:
    just_before = SLOW_AFTER - 1
    assert (
        leaving([seat(0), seat(1), seat(2), seat(3, pace=0, seconds=just_before, copying=just_before)], waiter(9, 1))
        == {}
    )
    again = seat(3, pace=0, copying=SLOW_AFTER + 1, yields=1)
    assert leaving([seat(0), seat(1), seat(2), again], waiter(9, 1)) == {}
    assert leaving([seat(0), seat(1), seat(2), replace(again, copying=2 * SLOW_AFTER)], waiter(9, 1)) == {3: SLOW}
    listing = replace(again, copying=None, yields=0, seconds=PLANNING * SLOW_AFTER - 1)
    assert leaving([seat(0), seat(1), seat(2), listing], waiter(9, 1)) == {}


def test_a_team_with_every_seat_makes_room_for_another() -> None:
    seats = [seat(0, seconds=40), seat(1, seconds=10), seat(2, seconds=30), seat(3, seconds=20)]
    assert leaving(seats, waiter(9)) == {1: OTHER_TEAM}
    three = [*seats[:3], seat(3, 2)]
    assert leaving(three, waiter(9)) == {1: OTHER_TEAM}
    assert leaving([*seats[:2], seat(2, 2), seat(3, 2)], waiter(9)) == {}


def test_a_fifth_team_waits_for_one_slice_at_most() -> None:
    seats = [seat(number, number, seconds=SLICE - 1) for number in range(4)]
    assert leaving(seats, waiter(9, 9)) == {}
    assert leaving([*seats[:3], seat(3, 3, seconds=SLICE)], waiter(9, 9)) == {3: TURN_OVER}


def test_a_small_one_does_not_wait_for_four_large_ones_of_its_team() -> None:
    seats = [seat(number, 1, seconds=number) for number in range(4)]
    assert leaving(seats, waiter(9, 1)) == {}
    assert leaving(seats, waiter(9, 1, size=SMALL)) == {0: SMALL_FIRST}
    assert leaving(seats, waiter(9, 1, size=0)) == {0: SMALL_FIRST}, "it may be small"
    assert leaving([replace(seats[0], size=SMALL), *seats[1:]], waiter(9, 1, size=SMALL)) == {}


def test_one_that_is_being_published_keeps_its_seat() -> None:
    seats = [seat(number, is_ending=number < 3) for number in range(4)]
    assert leaving(seats, waiter(9)) == {3: OTHER_TEAM}
    assert leaving([replace(one, is_ending=True) for one in seats], waiter(9)) == {}


@pytest.mark.parametrize(
    ("position", "slow", "sentence"),
    [
        (1, False, "Waiting for its turn: 4 preheats are under way. It is the next."),
        (
            3,
            True,
            "Its source is slow, so others go first. Waiting for its turn: 4 preheats are under way. 2 wait before it.",
        ),
    ],
)
def test_who_waits_is_told_for_what(position: int, slow: bool, sentence: str) -> None:
    assert waiting_message(position, 4, slow=slow) == sentence


@dataclass
class Job:
    number: int
    team: int
    pace: float
    left: float
    ready_at: float
    seated_at: float = -1.0
    yields: int = 0
    done_at: float = -1.0
    began_at: float = -1.0
    size: float = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.left


def play(jobs: list[Job], seconds: int) -> None:
    """A second at a time: who gives up leaves, who comes next sits down."""
    sitting: list[Job] = []
    for now in range(seconds):
        seats = [
            Seat(job.number, job.team, now - job.seated_at, now - job.seated_at, job.pace, int(job.size), job.yields)
            for job in sitting
        ]
        waiting = [
            Waiter(
                job.number,
                job.team,
                now - job.ready_at,
                max(0.0, job.seated_at),
                int(job.size) if job.began_at >= 0 else 0,
                job.yields > 0 and job.pace < PACE,
            )
            for job in jobs
            if job not in sitting and job.done_at < 0 and job.ready_at <= now
        ]
        assert len(seats) <= MOST
        leave = {one.round: gives_up(one.round, seats, waiting, most=MOST, slow=PACE) for one in seats}
        for job in list(sitting):
            job.left -= job.pace
            if job.left <= 0:
                job.done_at = now
            elif leave[job.number]:
                job.ready_at = now + 3
                job.yields += leave[job.number] == SLOW
            else:
                continue
            sitting.remove(job)
        chosen = [
            one.round for one in line(waiting, [one for one in seats if any(j.number == one.round for j in sitting)])
        ]
        for number in chosen[: MOST - len(sitting)]:
            job = next(job for job in jobs if job.number == number)
            job.seated_at = now
            job.began_at = now if job.began_at < 0 else job.began_at
            sitting.append(job)


@pytest.mark.parametrize("drips", [4, 20])
def test_sources_that_drip_hold_up_nobody_else(drips: int) -> None:
    """As many as one team likes, each for days; another team's small ones go on within seconds."""
    jobs = [Job(number, 1, 20 << 10, 100 * GIB, 0) for number in range(drips)]
    mine = [Job(100 + number, 2, QUICK, 1 << 20, 30 + 10 * number) for number in range(20)]
    play([*jobs, *mine], 400)
    assert max(job.done_at - job.ready_at for job in mine) <= HEARD + 4
    assert all(job.began_at >= 0 for job in jobs)


def test_the_same_teams_own_work_goes_on_beside_its_drips() -> None:
    jobs = [Job(number, 1, 20 << 10, 100 * GIB, 0) for number in range(8)]
    mine = Job(100, 1, QUICK, 10 * GIB, 30)
    play([*jobs, mine], 600)
    assert 0 < mine.done_at - 30 <= 10 * GIB / QUICK + SLOW_AFTER * 2**LONGEST_DOUBLED


@given(
    st.lists(
        st.tuples(
            st.integers(1, 6), st.sampled_from([20 << 10, PACE, QUICK]), st.integers(1, 200), st.integers(0, 300)
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=30, deadline=None)
def test_every_round_ends(requests: list[tuple[int, int, int, int]]) -> None:
    """`requests`: team, pace, seconds of copying, and when."""
    jobs = [
        Job(number, team, pace, float(pace * seconds), at) for number, (team, pace, seconds, at) in enumerate(requests)
    ]
    play(jobs, 300 + 60 * len(jobs) + sum(seconds for _, _, seconds, _ in requests))
    assert [job.number for job in jobs if job.done_at < 0] == []
