"""Does a node's label set satisfy a service's affinity? Pure; the operators are those of a Kubernetes node affinity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.schema.labels import DOES_NOT_EXIST, EXISTS, GT, IN, LT, NOT_IN
from services.specs import Affinity, Rule


@dataclass(frozen=True)
class Verdict:
    """`score` is the sum of the weights of the preferred rules that match; `reasons` say why not, a sentence each."""

    matches: bool
    score: int
    reasons: tuple[str, ...] = ()


def describe(rule: Rule) -> str:
    """`gpu.product In [NVIDIA-H200]`, `zone Exists`, `cpu Gt 4`."""
    if rule.operator in {EXISTS, DOES_NOT_EXIST}:
        return f"{rule.key} {rule.operator}"
    if rule.operator in {GT, LT}:
        return f"{rule.key} {rule.operator} {rule.values[0]}"
    return f"{rule.key} {rule.operator} [{', '.join(rule.values)}]"


def matches(rule: Rule, labels: Mapping[str, str]) -> bool:
    """As Kubernetes decides it: NotIn holds for a missing label; Gt and Lt need a whole number on both sides."""
    value = labels.get(rule.key)
    if rule.operator == IN:
        return value in rule.values
    if rule.operator == NOT_IN:
        return value not in rule.values
    if rule.operator == EXISTS:
        return value is not None
    if rule.operator == DOES_NOT_EXIST:
        return value is None
    try:
        have, limit = int(value or ""), int(rule.values[0])
    except (ValueError, IndexError):
        return False
    return have > limit if rule.operator == GT else have < limit


def evaluate(affinity: Affinity, labels: Mapping[str, str]) -> Verdict:
    missed = [rule for rule in affinity.required if not matches(rule, labels)]
    score = sum(rule.weight for rule in affinity.preferred if matches(rule, labels))
    reasons = tuple(f"{describe(rule)} does not hold: {_have(rule.key, labels)}" for rule in missed)
    return Verdict(not missed, score, reasons)


def _have(key: str, labels: Mapping[str, str]) -> str:
    return f"{key} is {labels[key]}" if key in labels else f"there is no label {key}"
