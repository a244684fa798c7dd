"""Which devices a replica gets, and what of a node's is held."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import InvalidFields
from services.hardware import Device, is_instance
from services.parsing import parse_spec
from services.policies import devices, placement
from services.policies.amounts import Amount
from services.policies.devices import choose, held
from services.policies.placement import Candidate
from services.specs import Affinity, NodeInfo, Resources

A, B, MIG = "NVIDIA-H200", "NVIDIA-L4", "NVIDIA-H200-MIG-3g.71gb"
NODE = (
    *(Device(f"GPU-a{n}", A, 141, minor=n) for n in range(4)),
    *(Device(f"GPU-b{n}", B, 24, minor=4 + n) for n in range(2)),
    *(Device(f"MIG-{n}", MIG, 71, minor=6, parent="GPU-parent") for n in range(2)),
)


def gpus(count: int, kind: str = "") -> Resources:
    return Resources(gpu=count, gpu_type=kind)


def test_a_replica_gets_free_ones_of_the_product_that_it_asks_for() -> None:
    assert choose(NODE, {"GPU-b0"}, gpus(1, B), 1) == [("GPU-b1",)]
    assert choose(NODE, {"GPU-b0", "GPU-b1"}, gpus(1, B), 1) == []
    assert choose(NODE, set(), gpus(2, A), 2) == [("GPU-a0", "GPU-a1"), ("GPU-a2", "GPU-a3")]
    assert choose(NODE, set(), gpus(1, MIG), 2) == [("MIG-0",), ("MIG-1",)]
    assert choose(NODE, set(), gpus(0), 2) == [(), ()]


def test_replicas_get_all_that_they_ask_for_or_nothing() -> None:
    assert choose(NODE, {"GPU-a0"}, gpus(2, A), 2) == []


def test_of_any_product_it_gets_devices_of_one_product_and_whole_ones_first() -> None:
    assert choose(NODE, set(), gpus(2), 1) == [("GPU-a0", "GPU-a1")]
    assert choose(NODE, {"GPU-a0", "GPU-a1", "GPU-a2"}, gpus(2), 1) == [("GPU-b0", "GPU-b1")]
    assert choose(NODE, {"GPU-a0", "GPU-a1", "GPU-a2", "GPU-b0"}, gpus(2), 1) == [("GPU-a3", "GPU-b1")]
    whole = {device.uuid for device in NODE if not device.parent}
    assert choose(NODE, whole, gpus(1), 2) == [("MIG-0",), ("MIG-1",)]


def test_several_devices_are_never_mig_instances_of_which_a_process_sees_one() -> None:
    whole = {device.uuid for device in NODE if not device.parent}
    assert choose(NODE, whole, gpus(2), 1) == []
    assert choose(NODE, set(), gpus(2, MIG), 1) == []
    node = NodeInfo("a", {}, cpu=8, memory_gib=8, gpus={A: 1, MIG: 2}, devices=NODE)
    assert placement.judge(gpus(2), Affinity(), Candidate(node, Amount())).reason == "needs 2 GPU, 1 free"
    assert placement.judge(gpus(1), Affinity(), Candidate(node, Amount(gpus={A: 1}))).fits


def test_a_form_that_asks_for_several_mig_instances_is_told() -> None:
    sent = {"framework": "triton", "dataset": "samples", "resources": {"gpu": 2, "gpu_type": MIG}}
    with pytest.raises(InvalidFields) as caught:
        parse_spec(sent)
    assert caught.value.errors == {
        "resources.gpu_type": ["A process can use one MIG instance only: set gpu to 1."],
    }


def test_one_that_has_failed_is_not_given_out() -> None:
    failed = [Device("GPU-a0", A, 141, minor=0, problem="NVML: GPU is lost."), *NODE[1:4]]
    assert choose(failed, set(), gpus(4, A), 1) == []
    assert choose(failed, set(), gpus(3, A), 1) == [("GPU-a1", "GPU-a2", "GPU-a3")]
    assert devices.counts(failed) == {A: 3}
    assert devices.counts(NODE) == {A: 4, B: 2, MIG: 2}


def test_what_the_replaced_replicas_have_is_taken_first() -> None:
    assert choose(NODE, {"GPU-a0"}, gpus(2, A), 1, prefer={"GPU-a2", "GPU-a3"}) == [("GPU-a2", "GPU-a3")]
    assert choose(NODE, set(), gpus(1), 1, prefer={"MIG-1"}) == [("MIG-1",)]


def test_what_is_held_counts_by_product_whatever_was_asked_for() -> None:
    rows = [(1, False, gpus(1), ["GPU-b0"]), (2, False, gpus(2, A), ["GPU-a0", "GPU-a1"])]
    assert held(rows, NODE) == Amount(2, 2, {B: 1, A: 2})


def test_a_replica_without_devices_counts_by_what_it_claims() -> None:
    assert held([(1, False, gpus(2, A), [])], NODE) == Amount(1, 1, {A: 2})
    assert held([(1, False, gpus(1), []), (2, False, gpus(1), ["GPU-a0"])], NODE) == Amount(2, 2, {"": 1, A: 1})


def test_a_replica_on_standby_and_the_one_in_its_place_hold_their_devices_once() -> None:
    rows = [(1, True, gpus(2, A), ["GPU-a0", "GPU-a1"]), (1, False, gpus(2, A), ["GPU-a0", "GPU-a1"])]
    assert held(rows, NODE) == Amount(1, 1, {A: 2})


def test_a_failed_one_is_neither_offered_nor_held() -> None:
    failed = [Device("GPU-a0", A, 141, minor=0, problem="NVML: GPU is lost."), *NODE[1:4]]
    assert held([(1, False, gpus(2, A), ["GPU-a0", "GPU-a1"])], failed) == Amount(1, 1, {A: 1})


def test_one_that_fell_out_stays_listed_while_a_replica_has_it() -> None:
    now = NODE[1:]
    assert devices.merge(NODE, now, set(), "") == [*now]
    [*_, gone] = devices.merge(NODE, now, {"GPU-a0"}, "")
    assert (gone.uuid, gone.product, gone.problem) == ("GPU-a0", A, "NVML no longer lists it.")
    [*_, lost] = devices.merge(NODE, now, set(), "NVML: GPU is lost.")
    assert (lost.uuid, lost.problem) == ("GPU-a0", "NVML: GPU is lost.")
    assert devices.merge([gone], NODE, {"GPU-a0"}, "") == [*NODE], "it is back"


def test_one_that_fails_keeps_the_name_that_it_had() -> None:
    nameless = Device("GPU-a0", "", 0, minor=-1, problem="NVML: GPU is lost.")
    [kept] = devices.merge(NODE[:1], [nameless], set(), "")
    assert (kept.product, kept.memory_gib, kept.minor, kept.problem) == (A, 141, 0, "NVML: GPU is lost.")


def test_a_device_reads_back_as_it_was_written() -> None:
    device = Device("MIG-1", MIG, 71, minor=6, parent="GPU-6", capabilities=(61, 62))
    assert Device.from_json(device.to_json()) == device
    assert [str(path) for path in device.files] == [
        "/dev/nvidia6",
        "/dev/nvidia-caps/nvidia-cap61",
        "/dev/nvidia-caps/nvidia-cap62",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_many_claims_that_come_and_go_never_share(seed: int) -> None:
    dice, rows = random.Random(seed), list[tuple[Resources, tuple[str, ...]]]()
    for _ in range(100):
        if rows and dice.random() < 0.4:
            rows.pop(dice.randrange(len(rows)))
        taken = {uuid for _, uuids in rows for uuid in uuids}
        resources = gpus(dice.choice((1, 2, 4)), dice.choice(("", A, B, MIG)))
        for uuids in choose(NODE, taken, resources, dice.choice((1, 2))):
            rows.append((resources, uuids))
        given = [uuid for _, uuids in rows for uuid in uuids]
        assert len(given) == len(set(given))
        assert all(len(uuids) == resources.gpu for resources, uuids in rows)


@given(
    taken=st.sets(st.sampled_from([device.uuid for device in NODE])),
    count=st.integers(1, 4),
    kind=st.sampled_from(["", A, B, MIG]),
)
def test_numbers_and_devices_agree_on_what_is_free(taken: set[str], count: int, kind: str) -> None:
    """Else a claim that is granted by numbers could not be served, and would stand in the way of others."""
    rows = [(n, False, gpus(1), [uuid]) for n, uuid in enumerate(sorted(taken))]
    node = NodeInfo("a", {}, cpu=99, memory_gib=99, gpus=devices.counts(NODE), devices=NODE)
    resources = gpus(count, kind)
    fits = placement.judge(resources, Affinity(), Candidate(node, held(rows, NODE))).fits
    chosen = choose(NODE, taken, resources, 1)
    assert bool(chosen) == fits
    assert count == 1 or not any(
        is_instance(device.product) for device in NODE for uuids in chosen if device.uuid in uuids
    )
