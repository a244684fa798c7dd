"""Configurations of Python models, and whether Triton refuses each: a real one is asked in tests/integration.

Named after functions of triton-inference-server/core: src/model_config_utils.cc if nothing else is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rule:
    """`only_ours`: Triton loads the model, and answers nothing."""

    name: str
    config: str
    refused: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
    only_ours: bool = False


IO = 'input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }'


def x(rest: str) -> str:
    return f'input {{ name: "x" data_type: TYPE_FP32 {rest} }} output {{ name: "y" data_type: TYPE_FP32 dims: -1 }}'


def control(rest: str, name: str = "S", kind: str = "START") -> str:
    return f'control_input {{ name: "{name}" control {{ kind: CONTROL_SEQUENCE_{kind} {rest} }} }}'


def sequence(rest: str) -> str:
    return f"{IO} sequence_batching {{ {rest} }}"


def dynamic(rest: str, batch: int = 4) -> str:
    return f"{IO} max_batch_size: {batch} dynamic_batching {{ {rest} }}"


def warmup(rest: str, batch: int = 0) -> str:
    return f'{IO} max_batch_size: {batch} model_warmup {{ name: "w" {rest} }}'


def batch_input(rest: str) -> str:
    return f"{IO} batch_input {{ kind: BATCH_ELEMENT_COUNT {rest} }}"


def batch_output(rest: str) -> str:
    return f"{IO} batch_output {{ kind: BATCH_SCATTER_WITH_INPUT_SHAPE {rest} }}"


ON = "fp32_false_true: [0, 1]"
SAMPLE = 'batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 2 %s } }'

RULES = (
    # ValidateIOShape
    Rule("plain", IO),
    Rule("no-inputs", IO.partition("} ")[2]),
    Rule("no-name", x("dims: 1").replace('name: "x"', ""), True),
    Rule("no-type", x("dims: 1").replace("data_type: TYPE_FP32 dims: 1", "dims: 1"), True),
    Rule("no-dims", x(""), True),
    Rule("zero", x("dims: 0"), True),
    Rule("below", x("dims: -2"), True),
    Rule("empty-reshape", x("dims: 1 reshape { }"), True),
    Rule("empty-reshape-of-a-batch", x("dims: 1 reshape { }") + " max_batch_size: 4"),
    Rule("empty-reshape-of-more", x("dims: 2 reshape { }") + " max_batch_size: 4", True),
    Rule("reshape", x("dims: [2, 3] reshape { shape: 6 }")),
    Rule("reshape-of-others", x("dims: [2, 3] reshape { shape: 5 }"), True),
    Rule("reshape-free", x("dims: [2, 4, -1, 6] reshape { shape: [8, -1, 1, 6] }")),
    Rule("reshape-free-moved", x("dims: [2, -1] reshape { shape: [-1, 2] }"), True),
    Rule("reshape-free-and-not", x("dims: [2, -1] reshape { shape: 2 }"), True),
    Rule("reshape-zero", x("dims: [2, 3] reshape { shape: 0 }"), True),
    Rule("reshape-of-texts", IO.replace("FP32 dims: -1", "STRING dims: 4 reshape { shape: [2, 2] }")),
    Rule("bfloat16", IO.replace("FP32", "BF16")),
    # ValidateModelInput, ValidateNonLinearFormatIO
    Rule("image", x("format: FORMAT_NCHW dims: [3, 4, 4]")),
    Rule("image-of-two", x("format: FORMAT_NHWC dims: [4, 4]"), True),
    Rule("shape-tensor", x("dims: 1 is_shape_tensor: true"), True),
    Rule("format", x("dims: [1, 1, 1] is_non_linear_format_io: true"), True),
    Rule("ragged", x("dims: -1 allow_ragged_batch: true") + " max_batch_size: 4"),
    Rule("optional", x("dims: -1 optional: true") + " max_batch_size: 4"),
    Rule("twice", f'{IO} input {{ name: "x" data_type: TYPE_FP32 dims: 1 }}', True, only_ours=True),
    # ValidateBatchIO
    Rule("batch-input", batch_input('target_name: "c" data_type: TYPE_FP32 source_input: "x"')),
    Rule("batch-input-of-none", batch_input('target_name: "c" data_type: TYPE_FP32 source_input: "q"'), True),
    Rule("batch-input-of-two", batch_input('target_name: "c" data_type: TYPE_FP32 source_input: ["x", "x"]'), True),
    Rule("batch-input-type", batch_input('target_name: "c" data_type: TYPE_INT64 source_input: "x"'), True),
    Rule("batch-output", batch_output('target_name: "y" source_input: "x"')),
    Rule("batch-output-of-none", batch_output('target_name: "q" source_input: "x"'), True),
    Rule("batch-output-twice", batch_output('target_name: ["y", "y"] source_input: "x"'), True),
    Rule("batch-output-alone", batch_output('target_name: "y"'), True),
    # ValidateModelConfig
    Rule("batch-below", f"{IO} max_batch_size: -1", True),
    Rule("platform-of-another", f'platform: "onnxruntime_onnx" {IO}'),
    Rule("dynamic", dynamic("")),
    Rule("dynamic-without-batches", dynamic("", 0)),
    Rule("preferred", dynamic("preferred_batch_size: [2, 4]")),
    Rule("preferred-above", dynamic("preferred_batch_size: 8"), True),
    Rule("preferred-zero", dynamic("preferred_batch_size: 0"), True),
    Rule("preferred-without-batches", dynamic("preferred_batch_size: 4", 0), True),
    Rule("levels", dynamic("priority_levels: 2 default_priority_level: 1")),
    Rule("levels-without-default", dynamic("priority_levels: 2"), True),
    Rule("levels-default-above", dynamic("priority_levels: 2 default_priority_level: 3"), True),
    Rule(
        "levels-policy",
        dynamic("priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 value { } }"),
        True,
    ),
    Rule("ordered", dynamic("preserve_ordering: true")),
    Rule("ordered-levels", dynamic("preserve_ordering: true priority_levels: 2 default_priority_level: 1"), True),
    Rule(
        "ordered-delay",
        dynamic(
            "preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 }"
        ),
        True,
    ),
    Rule("cache", f"{IO} response_cache {{ enable: true }}"),
    Rule(
        "cache-decoupled",
        f"{IO} response_cache {{ enable: true }} model_transaction_policy {{ decoupled: true }}",
        True,
    ),
    Rule("cache-sequence", sequence("direct { }") + " response_cache { enable: true }", True),
    # GetBooleanSequenceControlProperties, GetTypedSequenceControlProperties
    Rule("sequence", sequence("")),
    Rule("sequence-preferred", sequence("oldest { preferred_batch_size: 8 }"), True),
    Rule("sequence-slots", sequence("direct { minimum_slot_utilization: 1.5 }"), True),
    Rule("control", sequence(control(ON))),
    Rule("control-without-values", sequence(control("")), True),
    Rule("control-two-types", sequence(control(f"{ON} int32_false_true: [0, 1]")), True),
    Rule("control-one-value", sequence(control("fp32_false_true: 1")), True),
    Rule("control-without-name", sequence(control(ON, name="")), True),
    Rule("control-same-tensor", sequence(control(ON) + control(ON, kind="END")), True),
    Rule("control-twice", sequence(control(ON) + control(ON, name="T")), True),
    Rule("control-id", sequence(control("data_type: TYPE_UINT64", kind="CORRID"))),
    Rule("control-id-type", sequence(control("data_type: TYPE_FP32", kind="CORRID")), True),
    Rule("control-id-values", sequence(control("data_type: TYPE_INT64 int32_false_true: [0, 1]", kind="CORRID")), True),
    Rule(
        "state",
        sequence('state { input_name: "a" output_name: "b" data_type: TYPE_FP32 dims: 1 }'),
        True,
        only_ours=True,
    ),
    # ValidateInstanceGroup
    Rule("group", f'{IO} instance_group {{ kind: KIND_CPU rate_limiter {{ priority: 2 }} host_policy: "p" count: 1 }}'),
    Rule("group-profile", f'{IO} instance_group {{ kind: KIND_CPU profile: "1" }}', True),
    # Model::Init
    Rule("labels", f'{IO[:-1]} label_filename: "l.txt" }}', True),
    Rule("labels-there", f'{IO[:-1]} label_filename: "l.txt" }}', files={"l.txt": b"a\nb\n"}),
    # TritonModelInstance::GenerateWarmupData in src/backend_model_instance.cc
    Rule("warmup", warmup(SAMPLE % "random_data: true")),
    Rule("warmup-never", warmup('inputs { key: "q" value { data_type: TYPE_FP32 dims: 2 } }')),
    Rule("warmup-batch", warmup((SAMPLE % "zero_data: true").replace("size: 1", "size: 9"), 4), True),
    Rule("warmup-input", warmup("batch_size: 1"), True),
    Rule("warmup-type", warmup((SAMPLE % "zero_data: true").replace("FP32", "INT32")), True),
    Rule("warmup-free", warmup((SAMPLE % "zero_data: true").replace("dims: 2", "dims: -1")), True),
    Rule("warmup-dims", warmup((SAMPLE % "zero_data: true").replace("dims: 2", "dims: [2, 2]")), True),
    Rule("warmup-nothing", warmup(SAMPLE % ""), True),
    Rule("warmup-file", warmup(SAMPLE % 'input_data_file: "f"'), True),
    Rule("warmup-file-there", warmup(SAMPLE % 'input_data_file: "f"'), files={"warmup/f": b"\0" * 8}),
    Rule("warmup-file-short", warmup(SAMPLE % 'input_data_file: "f"'), True, files={"warmup/f": b"\0" * 4}),
    # VersionsToLoad in src/model_repository_manager/model_lifecycle.cc
    Rule("version-gone", f"{IO} version_policy {{ specific {{ versions: 2 }} }}", True),
    Rule("version-of-two", f"{IO} version_policy {{ specific {{ versions: [1, 2] }} }}"),
    Rule("version-of-none", f"{IO} version_policy {{ specific {{ }} }}", True),
    Rule("version-latest-0", f"{IO} version_policy {{ latest {{ }} }}", True),
    Rule("version-latest-9", f"{IO} version_policy {{ latest {{ num_versions: 9 }} }}"),
    Rule("version-empty", f"{IO} version_policy {{ }}"),
    # What does nothing, or little
    Rule(
        "tuned",
        f"{IO} optimization {{ graph {{ level: 1 }} priority: PRIORITY_MAX cuda {{ graphs: true }} "
        'input_pinned_memory { enable: false } } metric_tags { key: "a" value: "b" }',
    ),
)
STATE = 'state { input_name: "a" output_name: "b" data_type: TYPE_FP32 dims: %s initial_state { %s } }'
ZEROS = "zero_data: true"
FIRST = 'name: "i" data_type: TYPE_FP32 dims: 1 '
STATES = (
    # SequenceBatchScheduler::GenerateInitialStateData in src/sequence_batch_scheduler
    Rule("first", sequence(STATE % ("1", FIRST + ZEROS))),
    Rule("first-of-a-free-size", sequence(STATE % ("-1", FIRST + ZEROS))),
    Rule("first-type", sequence(STATE % ("1", FIRST.replace("FP32", "INT32") + ZEROS)), True),
    Rule("first-name", sequence(STATE % ("1", FIRST.replace('name: "i"', "") + ZEROS)), True),
    Rule("first-rank", sequence(STATE % ("[1, 1]", FIRST + ZEROS)), True),
    Rule("first-free", sequence(STATE % ("-1", FIRST.replace("dims: 1", "dims: -1") + ZEROS)), True),
    Rule("first-size", sequence(STATE % ("2", FIRST + ZEROS)), True),
    Rule("first-nothing", sequence(STATE % ("1", FIRST)), True),
    Rule("first-file", sequence(STATE % ("1", FIRST + 'data_file: "f"')), True),
    Rule("first-file-there", sequence(STATE % ("1", FIRST + 'data_file: "f"')), files={"initial_state/f": b"\0" * 4}),
    Rule(
        "first-file-short",
        sequence(STATE % ("1", FIRST + 'data_file: "f"')),
        True,
        files={"initial_state/f": b"\0" * 2},
    ),
    Rule("first-twice", sequence(STATE % ("1", f"{FIRST} {ZEROS} }} initial_state {{ {FIRST} {ZEROS}")), True),
)
"""Served by Triton as if they were of an ONNX model: the Python backend is only what loads them."""
