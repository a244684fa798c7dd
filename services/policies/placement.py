"""Which node runs which replica? Pure. Answers with a verdict on every node: "why not there" is never a guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.policies import affinity as affinities
from services.policies import amounts, devices
from services.policies.amounts import Amount
from services.specs import Affinity, NodeInfo, Resources

CORDONED = "is cordoned"


@dataclass(frozen=True)
class Candidate:
    node: NodeInfo
    used: Amount


@dataclass(frozen=True)
class NodeVerdict:
    node: str
    fits: bool
    score: int
    reason: str
    matches: bool = True
    """Its labels satisfy the affinity."""


@dataclass(frozen=True)
class Placement:
    nodes: tuple[str, ...]
    """One name per replica; empty when they do not all find a place."""
    verdicts: tuple[NodeVerdict, ...]
    reason: str
    """A sentence for people."""


def judge(resources: Resources, affinity: Affinity, candidate: Candidate) -> NodeVerdict:
    node = candidate.node
    if node.absence:
        return NodeVerdict(node.name, False, 0, node.absence)
    verdict = affinities.evaluate(affinity, node.labels)
    if not verdict.matches:
        return NodeVerdict(node.name, False, verdict.score, "; ".join(verdict.reasons), matches=False)
    if node.cordoned:
        return NodeVerdict(node.name, False, verdict.score, CORDONED)
    have, used = Amount(node.cpu, node.memory_gib, node.gpus), candidate.used
    if resources.gpu:
        have = replace(have, gpus=devices.usable(have.gpus, resources.gpu))
        used = replace(used, gpus=devices.usable(used.gpus, resources.gpu))
    lacking = amounts.shortages(resources, have, used)
    if lacking:
        return NodeVerdict(node.name, False, verdict.score, "; ".join(lacking))
    return NodeVerdict(node.name, True, verdict.score, "fits")


def place(resources: Resources, affinity: Affinity, candidates: Sequence[Candidate], replicas: int) -> Placement:
    """`resources` is one replica. The highest score wins; among equals fewer of these replicas, then the name."""
    used = {candidate.node.name: candidate.used for candidate in candidates}
    nodes: list[str] = []
    for _ in range(replicas):
        now = [Candidate(candidate.node, used[candidate.node.name]) for candidate in candidates]
        fitting = [verdict for verdict in (judge(resources, affinity, c) for c in now) if verdict.fits]
        if not fitting:
            verdicts = tuple(judge(resources, affinity, candidate) for candidate in now)
            return Placement((), verdicts, _why_not(affinity, verdicts, len(nodes), replicas))
        best = min(fitting, key=lambda verdict: (-verdict.score, nodes.count(verdict.node), verdict.node))
        nodes.append(best.node)
        used[best.node] = used[best.node].plus(resources)
    verdicts = tuple(judge(resources, affinity, candidate) for candidate in candidates)
    return Placement(tuple(nodes), verdicts, f"Placed on {', '.join(sorted(set(nodes)))}.")


def _why_not(affinity: Affinity, verdicts: Sequence[NodeVerdict], fitting: int, replicas: int) -> str:
    if not verdicts:
        return "There is no node that takes services."
    cordoned = [verdict.node for verdict in verdicts if verdict.reason == CORDONED]
    if len(cordoned) == len(verdicts):
        nodes = f"node {cordoned[0]} is" if len(cordoned) == 1 else f"{', '.join(cordoned)} are"
        return f"There is no node that takes services: {nodes} cordoned."
    some = f" ({fitting} of {replicas} replicas would fit)" if fitting else ""
    if len(verdicts) == 1:
        return f"Node {verdicts[0].node} cannot take it{some}: {verdicts[0].reason}."
    rules = ", ".join(affinities.describe(rule) for rule in affinity.required)
    if rules and not any(verdict.matches for verdict in verdicts):
        return f"No node matches {rules}{some}: " + " | ".join(f"{v.node}: {v.reason}" for v in verdicts[:4]) + "."
    return f"No node has room{some}: " + " | ".join(f"{v.node}: {v.reason}" for v in verdicts[:4]) + "."


def never_fits(resources: Resources, affinity: Affinity, nodes: Sequence[NodeInfo], replicas: int) -> tuple[str, str]:
    """Why these nodes could not hold it even if they were empty: the field to change, and a sentence. ("", "") if
    they could, or while no node has reported."""
    empty = [Candidate(replace(node, cordoned=False), Amount()) for node in nodes if not node.absence]
    placement = place(resources, affinity, empty, replicas)
    if placement.nodes or not empty:
        return "", ""
    if not any(verdict.matches for verdict in placement.verdicts):
        return "affinity.required", placement.reason
    one = place(resources, affinity, empty, 1)
    return ("replicas" if one.nodes else "resources"), placement.reason
