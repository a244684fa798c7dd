"""Quota is granted first come, first served, and every wait has a sentence."""

from __future__ import annotations

import pytest

from services.policies.admission import decide, never_fits, ordinal
from services.policies.amounts import Amount, free_gpus, total
from services.specs import Resources

QUOTA = Amount(cpu=8, memory_gib=16, gpus={"NVIDIA-H200": 2})
NOTHING = Amount()


def test_what_fits_is_granted() -> None:
    assert decide(Resources(cpu=2), QUOTA, NOTHING, "small", []).granted


def test_what_does_not_fit_now_waits_with_its_position_and_reason() -> None:
    used = Amount(cpu=1, memory_gib=1, gpus={"NVIDIA-H200": 2})
    decision = decide(Resources(gpu=1, gpu_type="NVIDIA-H200"), QUOTA, used, "gpu", [Resources(gpu=1)])
    assert not decision.granted
    assert decision.reason == "2nd in queue gpu: needs 1 GPU NVIDIA-H200, 0 free."


def test_nobody_overtakes_those_before_them() -> None:
    decision = decide(Resources(cpu=1), QUOTA, NOTHING, "small", [Resources(cpu=8)])
    assert decision.reason == "2nd in queue small: waits for those before it."


def test_one_that_can_never_fit_blocks_nobody() -> None:
    assert decide(Resources(cpu=1), QUOTA, NOTHING, "small", [Resources(cpu=800)]).granted


def test_more_than_the_whole_quota_is_said_at_once() -> None:
    assert never_fits(Resources(cpu=9), QUOTA, "small") == (
        "Queue small is too small: needs 9 CPU, 8 in all. Ask for less, or have an administrator raise its quota."
    )


def test_a_claim_of_any_gpu_takes_from_every_product() -> None:
    have = {"A": 2, "B": 1}
    assert free_gpus("", have, {"A": 1}) == 2
    assert free_gpus("A", have, {"": 2}) == 1
    assert free_gpus("A", have, {"": 3}) == 0


def test_amounts_add_up_by_product() -> None:
    summed = total([Resources(1, 2, 1, "A"), Resources(1, 2, 2, "A"), Resources(1, 2, 1, "")])
    assert summed == Amount(3, 6, {"A": 3, "": 1})


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_positions_are_said_in_words(number: int, said: str) -> None:
    assert ordinal(number) == said
