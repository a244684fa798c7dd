"""Data in config.pbtxt, and the table of rules that a real Triton confirms (tests/integration/triton/test_rules.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.inspect.config_pbtxt import config_rules, named_files, pbtxt, sample_rules
from datasets.inspect.folder import inspect
from services.frameworks.triton.describe import describe
from tests.datasets.inspect.config_pbtxt.rules import (
    FIRST,
    IO,
    ON,
    RULES,
    SAMPLE,
    STATE,
    STATES,
    ZEROS,
    Rule,
    control,
    sequence,
    warmup,
)

ZERO_SAMPLE = SAMPLE % "zero_data: true"


def write(folder: Path, rule: Rule) -> Path:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text("class TritonPythonModel: ...")
    (folder / "config.pbtxt").write_text(f'backend: "python" {rule.config}')
    for name, content in rule.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_triton_refuses_is_told_by_the_report_and_before_a_start(tmp_path: Path, rule: Rule) -> None:
    folder = write(tmp_path / "m", rule)
    for problems in (inspect(folder).problems, describe(folder, {}).problems):
        assert bool(problems) == rule.refused, problems


@pytest.mark.parametrize("rule", STATES, ids=lambda rule: rule.name)
def test_first_states_of_sequences_are_checked_as_triton_does(tmp_path: Path, rule: Rule) -> None:
    config, folder = pbtxt.parse(f'backend: "onnxruntime" {rule.config}'), write(tmp_path / "m", rule)
    problems = [
        *config_rules.problems(config),
        *sample_rules.problems(config),
        *named_files.problems(config, folder),
    ]
    assert bool(problems) == rule.refused, problems


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (warmup(ZERO_SAMPLE.replace("size: 1", "size: 9"), 4), "model_warmup w has the batch_size 9, and the model"),
        (warmup("batch_size: 1"), "model_warmup w lacks the input x: add it"),
        (warmup(ZERO_SAMPLE.replace("FP32", "INT32")), "x has the data_type TYPE_INT32: write TYPE_FP32"),
        (warmup(ZERO_SAMPLE.replace("dims: 2", "dims: -1")), "x has a free size"),
        (warmup(ZERO_SAMPLE.replace("dims: 2", "dims: [2, 2]")), "x has dims [2, 2]: write what fits [-1]"),
        (warmup(SAMPLE % ""), "x has no data: write zero_data: true"),
        (sequence(STATE % ("1", FIRST.replace("FP32", "INT32") + ZEROS)), "initial_state of a has the data_type"),
        (sequence(STATE % ("1", FIRST.replace('name: "i"', "") + ZEROS)), "initial_state of a has no name"),
        (sequence(STATE % ("2", FIRST + ZEROS)), "initial_state of a has dims [1]: write fixed sizes that fit [2]"),
        (sequence(STATE % ("1", FIRST)), "initial_state of a has no data"),
        (sequence((STATE % ("1", FIRST + ZEROS)) * 2), "The state a is listed twice"),
        (sequence((STATE % ("1", FIRST + ZEROS)).replace('output_name: "b"', "")), "The state a has no output_name"),
        (
            f'backend: "python" {sequence(STATE % ("1", FIRST + ZEROS))}',
            "hands out the first value only and keeps none",
        ),
    ],
)
def test_each_rule_has_its_sentence(text: str, sentence: str) -> None:
    (problem,) = sample_rules.problems(pbtxt.parse(text))
    assert sentence in problem


def test_a_warmup_of_an_onnx_model_brings_what_no_scheduler_fills_then() -> None:
    config = f'backend: "onnxruntime" {sequence(control(ON))} model_warmup {{ name: "w" {ZERO_SAMPLE} }}'
    assert sample_rules.problems(pbtxt.parse(config)) == [
        "model_warmup w lacks the input S: add it, or leave the sample out."
    ]
    both = f'{ZERO_SAMPLE} inputs {{ key: "S" value {{ data_type: TYPE_FP32 dims: 1 zero_data: true }} }}'
    assert sample_rules.problems(pbtxt.parse(config.replace(ZERO_SAMPLE, both))) == []


def test_a_file_that_is_too_short_is_named_with_both_sizes(tmp_path: Path) -> None:
    config = pbtxt.parse(warmup(SAMPLE % 'input_data_file: "f"'))
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "f").write_bytes(b"1234")
    assert named_files.problems(config, tmp_path) == [
        "warmup/f has 4 bytes, and config.pbtxt has dims for 8: correct one of them."
    ]


def test_a_batch_tensor_names_each_target_once() -> None:
    # Triton takes a batch_input with none or with two, and its ONNX Runtime backend then counts one input.
    output = 'batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: ["y", "y"] source_input: "x" }'
    assert config_rules.problems(pbtxt.parse(f"{IO} {output}")) == [
        "batch_output y, y must name each target_name once: correct it."
    ]


@pytest.mark.parametrize(
    ("platform", "hint"),
    [
        ("python", 'write backend: "python" instead'),
        ("onnxruntime", 'write backend: "onnxruntime" instead'),
        ("fil", "write one of onnxruntime_onnx, pytorch_libtorch"),
    ],
)
def test_a_platform_that_triton_does_not_know_is_refused_without_a_backend(platform: str, hint: str) -> None:
    # ValidateModelConfig: "unexpected platform type". With a backend of no platforms any is taken.
    (problem,) = config_rules.problems(pbtxt.parse(f'platform: "{platform}" {IO}'))
    assert f"the platform '{platform}', which Triton does not know: {hint}" in problem
    assert config_rules.problems(pbtxt.parse(f'backend: "python" platform: "{platform}" {IO}')) == []


def test_a_platform_that_belongs_to_another_backend_is_refused() -> None:
    assert config_rules.problems(pbtxt.parse(f'backend: "onnxruntime" platform: "tensorrt_plan" {IO}')) == [
        "The platform tensorrt_plan is not one of the backend onnxruntime: leave platform out."
    ]
    assert config_rules.problems(pbtxt.parse(f'backend: "onnxruntime" platform: "onnxruntime_onnx" {IO}')) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("response_cache { enable: true }", "response_cache is ignored"),
        ("instance_group { rate_limiter { priority: 1 } }", "without --rate-limit"),
        ('instance_group { host_policy: "p" }', "without --host-policy"),
        ("dynamic_batching { }", "forms no batches while max_batch_size is 0"),
        ('platform: "onnxruntime_onnx" optimization { execution_accelerators { } }', "it has none for ONNX"),
    ],
)
def test_what_does_nothing_here_is_a_note(text: str, expected: str) -> None:
    (note,) = config_rules.notes(pbtxt.parse(text))
    assert expected in note
