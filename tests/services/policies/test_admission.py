"""The line of a queue: by team in turn, what fits passes what does not, and every wait has a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.policies.admission import (
    FAIR,
    STRICT,
    Claim,
    Room,
    Standing,
    ahead_of,
    never_fits,
    ordinal,
    passed_by,
    rank,
)
from services.policies.amounts import Amount, free_gpus, share, total
from services.policies.placement import Candidate
from services.specs import Affinity, NodeInfo, Resources, Rule

QUOTA = Amount(cpu=8, memory_gib=16, gpus={"NVIDIA-H200": 2})
NOTHING = Amount()
START = datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
NODE = NodeInfo("n", {"zone": "a"}, 64, 64, {"NVIDIA-H200": 8})


def claim(key: int, resources: Resources, *, team: int = 1, replicas: int = 1, **more: Any) -> Claim:
    """They come in the order of their keys."""
    return Claim(key, team, resources, replicas, START + timedelta(seconds=key), **more)


def line(
    *claims: Claim, used: Amount = NOTHING, nodes: tuple[Candidate, ...] | None = None, **more: Any
) -> list[Standing]:
    room = Room(QUOTA, used, (Candidate(NODE, used),) if nodes is None else nodes)
    standings = rank(claims, room, "small", **more)
    return [standings[one.key] for one in claims]


def test_what_fits_is_granted() -> None:
    assert line(claim(1, Resources(cpu=2)))[0].decision.reason == "Queue small granted 2 CPU, 1 GiB."


def test_what_does_not_fit_now_waits_with_its_position_and_reason() -> None:
    used = Amount(cpu=1, memory_gib=1, gpus={"NVIDIA-H200": 2})
    first, second = line(claim(1, Resources(gpu=1)), claim(2, Resources(gpu=1, gpu_type="NVIDIA-H200")), used=used)
    assert first.decision.reason == "1st in queue small: needs 1 GPU, 0 free."
    assert second.decision.reason == "2nd in queue small: needs 1 GPU NVIDIA-H200, 0 free."


def test_small_ones_pass_one_that_does_not_fit_and_both_say_so() -> None:
    big, small = line(claim(1, Resources(cpu=7.9), passed=3), claim(2, Resources(cpu=0.1)), used=Amount(cpu=1.5))
    assert big.decision.reason == "1st in queue small: needs 7.9 CPU, 6.5 free. 3 others that fit went ahead."
    assert small.decision.granted
    passed = passed_by(2, {1: big, 2: small})
    assert passed == [1]
    assert ahead_of(len(passed)) == "It went ahead of 1 service that cannot start yet."
    assert ahead_of(0) == ""


def test_strict_passes_nobody() -> None:
    big, small = line(claim(1, Resources(cpu=7.9)), claim(2, Resources(cpu=0.1)), used=Amount(cpu=1.5), order=STRICT)
    assert not big.decision.granted
    assert small.decision.reason == "2nd in queue small: waits for those before it."


def test_a_claim_that_holds_the_queue_is_passed_only_by_what_it_does_not_need() -> None:
    big = claim(1, Resources(cpu=6, gpu=2))
    used = Amount(cpu=1, memory_gib=1, gpus={"NVIDIA-H200": 1})
    claims = (big, claim(2, Resources(cpu=0.5)), claim(3, Resources(cpu=2)), claim(4, Resources(cpu=0.1, gpu=1)))
    first, light, heavy, other = line(*claims, used=used, held_for=1, held_until=START + timedelta(minutes=5))
    assert first.decision.reason == (
        "1st in queue small: needs 2 GPU, 1 free. Freed capacity is reserved for it until 10:05 UTC."
    )
    assert light.decision.granted
    kept = "what is free is kept until 10:05 UTC for a service that has waited longer."
    assert heavy.decision.reason == f"3rd in queue small: {kept}"
    assert other.decision.reason == f"4th in queue small: {kept}"


def test_one_that_no_node_has_room_for_is_kept_room_on_every_node_that_could_run_it() -> None:
    nodes = (
        Candidate(NodeInfo("a", {}, 4, 64, {}), Amount(cpu=2)),
        Candidate(NodeInfo("b", {}, 4, 64, {}), Amount(cpu=2)),
        Candidate(NodeInfo("c", {}, 1, 64, {}), NOTHING),
    )
    big, medium, tiny = line(
        claim(1, Resources(cpu=4)),
        claim(2, Resources(cpu=2)),
        claim(3, Resources(cpu=1)),
        nodes=nodes,
        held_for=1,
        held_until=START,
    )
    assert "No node has room" in big.decision.reason
    assert "is kept" in medium.decision.reason
    assert tiny.nodes == ("c",)


def test_the_team_that_holds_least_comes_first() -> None:
    reds = [claim(number, Resources(cpu=4), team=1) for number in range(1, 7)]
    blue = claim(9, Resources(cpu=4), team=2)
    standings = line(*reds, blue, used_by={1: Amount(cpu=2)}, used=Amount(cpu=2))
    assert standings[-1].position == 1 and standings[-1].decision.granted
    assert [one.decision.granted for one in standings[:-1]] == [False] * 6


def test_a_team_with_many_waiting_does_not_stand_before_another_ones_first() -> None:
    standings = line(
        *(claim(number, Resources(cpu=1), team=1) for number in range(1, 61)), claim(61, Resources(cpu=1), team=2)
    )
    assert standings[-1].position == 2 and standings[-1].decision.granted
    assert sum(one.decision.granted for one in standings) == 8


def test_one_that_can_never_fit_blocks_nobody() -> None:
    nowhere = Affinity(required=(Rule("zone", "In", ("mars",)),))
    too_large, elsewhere, good = line(
        claim(1, Resources(cpu=800)),
        claim(2, Resources(cpu=1), affinity=nowhere),
        claim(3, Resources(cpu=8)),
        order=STRICT,
    )
    assert good.decision.granted and good.position == 1
    assert too_large.position == elsewhere.position == 0
    assert "too small" in too_large.decision.reason and "Node n cannot take it" in elsewhere.decision.reason


def test_all_that_are_granted_fit_together() -> None:
    standings = line(*(claim(number, Resources(cpu=3, memory_gib=1)) for number in range(1, 5)))
    assert [one.decision.granted for one in standings] == [True, True, False, False]
    assert standings[2].decision.reason == "3rd in queue small: waits for those before it."


def test_a_service_without_gpus_lacks_none_where_more_are_used_than_there_are() -> None:
    assert line(claim(1, Resources(cpu=1)), used=Amount(gpus={"NVIDIA-H200": 3}), order=FAIR)[0].decision.granted


def test_more_than_the_whole_quota_is_said_at_once() -> None:
    assert never_fits(Resources(cpu=9), QUOTA, "small") == (
        "Queue small is too small: needs 9 CPU, 8 in all. Request less, or ask an administrator to raise its quota."
    )


def test_a_claim_of_any_gpu_takes_from_every_product() -> None:
    have = {"A": 2, "B": 1}
    assert free_gpus("", have, {"A": 1}) == 2
    assert free_gpus("A", have, {"": 2}) == 1
    assert free_gpus("A", have, {"": 3}) == 0


def test_amounts_add_up_by_product() -> None:
    summed = total([Resources(1, 2, 1, "A"), Resources(1, 2, 2, "A"), Resources(1, 2, 1, "")])
    assert summed == Amount(3, 6, {"A": 3, "": 1})


def test_a_share_is_of_what_is_taken_most_of() -> None:
    assert share(Amount(4, 4, {"NVIDIA-H200": 2}), QUOTA) == 1
    assert share(Amount(4, 4), QUOTA) == 0.5
    assert share(Amount(cpu=1), Amount()) == 1


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_positions_are_said_in_words(number: int, text: str) -> None:
    assert ordinal(number) == text
