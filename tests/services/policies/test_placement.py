"""Replicas go where the rules and the room allow, and every node has a verdict."""

from __future__ import annotations

from services.policies.amounts import Amount
from services.policies.placement import Candidate, place
from services.specs import Affinity, NodeInfo, PreferredRule, Resources, Rule

A = NodeInfo("a", {"zone": "a"}, cpu=4, memory_gib=8, gpus={})
B = NodeInfo("b", {"zone": "b"}, cpu=4, memory_gib=8, gpus={"NVIDIA-L4": 1})
EMPTY = (Candidate(A, Amount()), Candidate(B, Amount()))


def test_replicas_spread_over_equal_nodes() -> None:
    assert sorted(place(Resources(cpu=1), Affinity(), EMPTY, 2).nodes) == ["a", "b"]


def test_a_preferred_node_is_filled_first() -> None:
    affinity = Affinity(preferred=(PreferredRule("zone", "In", ("b",), weight=10),))
    assert place(Resources(cpu=1), affinity, EMPTY, 2).nodes == ("b", "b")


def test_all_replicas_find_a_place_or_none() -> None:
    placement = place(Resources(cpu=3), Affinity(), EMPTY, 3)
    assert placement.nodes == ()
    assert "2 of 3 replicas would fit" in placement.reason


def test_a_rule_that_no_node_matches_is_named() -> None:
    affinity = Affinity(required=(Rule("gpu.product", "In", ("NVIDIA-H200",)),))
    placement = place(Resources(), affinity, EMPTY, 1)
    assert placement.reason.startswith("No node matches gpu.product In [NVIDIA-H200]: a: ")
    assert all(not verdict.fits for verdict in placement.verdicts)


def test_gpus_that_are_taken_are_not_given_again() -> None:
    busy = (Candidate(B, Amount(gpus={"NVIDIA-L4": 1})),)
    placement = place(Resources(gpu=1), Affinity(), busy, 1)
    assert placement.reason == "Node b cannot take it: needs 1 GPU, 0 free."


def test_without_nodes_the_reason_says_so() -> None:
    assert place(Resources(), Affinity(), (), 1).reason == "There is no node that takes services."
