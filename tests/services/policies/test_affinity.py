"""Label rules decide as Kubernetes does."""

from __future__ import annotations

import pytest

from services.policies.affinity import evaluate, matches
from services.specs import Affinity, PreferredRule, Rule

LABELS = {"gpu.product": "NVIDIA-H200", "cpu": "8", "zone": "a"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("gpu.product", "In", ("NVIDIA-H200", "NVIDIA-L4")), True),
        (Rule("gpu.product", "In", ("NVIDIA-L4",)), False),
        (Rule("missing", "In", ("x",)), False),
        (Rule("gpu.product", "NotIn", ("NVIDIA-L4",)), True),
        (Rule("gpu.product", "NotIn", ("NVIDIA-H200",)), False),
        (Rule("missing", "NotIn", ("x",)), True),
        (Rule("zone", "Exists"), True),
        (Rule("missing", "Exists"), False),
        (Rule("missing", "DoesNotExist"), True),
        (Rule("zone", "DoesNotExist"), False),
        (Rule("cpu", "Gt", ("7",)), True),
        (Rule("cpu", "Gt", ("8",)), False),
        (Rule("cpu", "Lt", ("9",)), True),
        (Rule("cpu", "Lt", ("8",)), False),
        (Rule("zone", "Gt", ("1",)), False),
        (Rule("missing", "Lt", ("1",)), False),
    ],
)
def test_each_operator_decides_as_in_kubernetes(rule: Rule, expected: bool) -> None:
    assert matches(rule, LABELS) is expected


def test_a_refusal_says_what_the_label_is() -> None:
    verdict = evaluate(Affinity(required=(Rule("zone", "In", ("b", "c")),)), LABELS)
    assert verdict.reasons == ("zone In [b, c] does not hold: zone is a",)


def test_preferred_rules_only_add_to_the_score() -> None:
    affinity = Affinity(
        preferred=(PreferredRule("zone", "In", ("a",), weight=50), PreferredRule("zone", "In", ("b",), weight=20))
    )
    verdict = evaluate(affinity, LABELS)
    assert verdict.matches
    assert verdict.score == 50
