"""What Triton says to a request with too many inputs, as it says it."""

from __future__ import annotations

import pytest

from services.clients.probes.required_inputs import excess, optional_in
from services.specs import Tensor

INPUTS = tuple(Tensor(name, "FP32", (-1,)) for name in ("a", "b", "it's"))
START = "[request id: <id_unknown>] expected"


@pytest.mark.parametrize(
    ("counted", "listed", "optional"),
    [
        ("number of inputs between 1 and 3", "['a']", {"b", "it's"}),
        ("3 inputs", "['a','b','it's']", set()),
        ("number of inputs between 0 and 3", "]", {"a", "b", "it's"}),
    ],
)
def test_inputs_that_the_refusal_does_not_name_are_optional(counted: str, listed: str, optional: set[str]) -> None:
    refusal = (
        f"{START} {counted} but got 4 inputs for model 'm'. Got input(s) ['????3','????2'], but missing required "
        f"input(s) {listed}. Please provide all required input(s)."
    )
    assert optional_in(refusal, INPUTS) == optional


@pytest.mark.parametrize(
    "refusal",
    [
        f"{START} 3 inputs but got 4 inputs for model 'm'",
        "the model is away",
        "",
    ],
)
def test_another_refusal_says_nothing_of_inputs(refusal: str) -> None:
    assert optional_in(refusal, INPUTS) is None


@pytest.mark.parametrize("names", [(), ("a",), ("a", "?0", "??1")])
def test_too_many_inputs_are_none_of_the_models(names: tuple[str, ...]) -> None:
    rows = excess([Tensor(name, "FP32", (1,)) for name in names])["inputs"]
    sent = {row["name"] for row in rows}
    assert len(sent) == len(rows) == len(names) + 1 and not sent & set(names)
