"""The rules of Triton's core for config.pbtxt. That the real Triton agrees is in tests/integration/corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.inspect.config_pbtxt import config_rules, pbtxt
from tests.corpus import scheduling, tensors
from tests.corpus.case import Case
from tests.corpus.faulty import refused

INPUT = "input { name: 'x' data_type: TYPE_FP32 dims: [ 1 ] }"
OUTPUT = "output { name: 'o' data_type: TYPE_FP32 dims: [ 1 ] }"
ID = "control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT32 int32_false_true: [ 0, 1 ] }"


def problems(case: Case, folder: Path) -> list[str]:
    case.write(folder)
    return config_rules.problems(pbtxt.parse(pbtxt.read(folder)))


@pytest.mark.parametrize("case", refused.CASES, ids=lambda case: case.name)
def test_what_triton_refuses_is_named_with_what_to_do(case: Case, tmp_path: Path) -> None:
    assert problems(case, tmp_path) == list(case.refused)


@pytest.mark.parametrize("case", [*scheduling.CASES, *tensors.CASES], ids=lambda case: case.name)
def test_what_triton_takes_is_taken(case: Case, tmp_path: Path) -> None:
    assert problems(case, tmp_path) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("input { name: 'x' data_type: TYPE_FP32 dims: [ 2 ] reshape: { shape: [ 0 ] } }", "is reshaped to [0]"),
        ("input { name: 'x' data_type: TYPE_FP32 dims: [ -1 ] reshape: { shape: [ -1, -1 ] } }", "different numbers"),
        ("batch_input { kind: BATCH_ELEMENT_COUNT target_name: 'c' data_type: TYPE_FP32 }", "names 0 source inputs"),
        ("batch_input { target_name: 'c' data_type: TYPE_INT64 source_input: 'x' }", "write TYPE_INT32 or TYPE_FP32"),
        (
            f"{INPUT} batch_input {{ target_name: 'c' data_type: TYPE_FP32 source_input: 'y' }}",
            "names the source input y",
        ),
        (f"{INPUT} {OUTPUT} batch_output {{ target_name: 'y' source_input: 'x' }}", "names an output that the model"),
        ("input { name: 'x' data_type: 99 dims: [ 1 ] }", "data_type 99, which Triton does not know"),
        ("sequence_batching { control_input { } }", "A control_input has no name"),
        ("sequence_batching { control_input { name: 'A' } control_input { name: 'A' } }", "A is listed twice"),
        ("sequence_batching { control_input { name: 'A' control { kind: CONTROL_SEQUENCE_END } } }", "has 0 pairs"),
        (
            (
                "sequence_batching { control_input { name: 'A' "
                "control { kind: CONTROL_SEQUENCE_END int32_false_true: 1 } } }"
            ),
            "needs two values in int32_false_true",
        ),
        (f"sequence_batching {{ control_input {{ name: 'A' {ID} }} }}", "leave that out"),
        ("sequence_batching { oldest { preferred_batch_size: [ 2 ] } }", "above the max batch size of 0"),
        ("sequence_batching { direct { minimum_slot_utilization: 2 } }", "between 0 and 1"),
        ("sequence_batching { state { input_name: 's' initial_state { } initial_state { } } }", "2 initial states"),
    ],
)
def test_each_other_rule_has_its_sentence(text: str, sentence: str) -> None:
    (message,) = config_rules.problems(pbtxt.parse(text))
    assert sentence in message


def test_two_controls_of_one_kind_are_one_too_many() -> None:
    control = "control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }"
    text = f"sequence_batching {{ control_input {{ name: 'A' {control} }} control_input {{ name: 'B' {control} }} }}"
    assert config_rules.problems(pbtxt.parse(text)) == [
        "Two control inputs have the kind CONTROL_SEQUENCE_START: keep one."
    ]


def test_a_tensorrt_model_may_have_what_is_its_own() -> None:
    text = "backend: 'tensorrt' input { name: 'x' data_type: TYPE_INT32 dims: [ 2 ] is_shape_tensor: true }"
    assert config_rules.problems(pbtxt.parse(text)) == []
