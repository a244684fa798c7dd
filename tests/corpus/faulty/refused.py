"""Configurations that Triton refuses when it loads a model, each with one thing wrong."""

from __future__ import annotations

from tests.corpus.case import Case
from tests.corpus.folders import ONE, SUM, python
from tests.corpus.scheduling import BATCHED, SUM_TENSORS
from tests.corpus.tensors import tensor

OUT = tensor("output", "OUT", "FP32")


def _refused(name: str, config: str, *sentences: str, code: str = SUM) -> Case:
    return Case(name, python(config, code), refused=sentences)


def _input(name: str, text: str, *sentences: str, before: str = "") -> Case:
    return _refused(name, f"{before}input [ {{ {text} }} ]\n{OUT}", *sentences)


def _control(name: str, controls: str, *sentences: str) -> Case:
    batching = f"max_batch_size: 4\nsequence_batching {{ control_input [ {controls} ] }}\n"
    return _refused(name, batching + SUM_TENSORS, *sentences)


CASES = (
    _refused(
        "batch-size-negative",
        "max_batch_size: -1\n" + ONE,
        "max_batch_size is -1: write 0 for a model without batches, or more.",
    ),
    _refused(
        "preferred-too-large",
        "dynamic_batching { preferred_batch_size: [ 16 ] }\n" + BATCHED,
        "A preferred batch size is above the max batch size of 8.",
    ),
    _refused(
        "preferred-zero",
        "dynamic_batching { preferred_batch_size: [ 0 ] }\n" + BATCHED,
        "A preferred batch size is 0: write at least 1.",
    ),
    _refused(
        "priority-default",
        "dynamic_batching { priority_levels: 2 }\n" + BATCHED,
        "default_priority_level is 0: with 2 priority_levels, write 1 to 2.",
    ),
    _refused(
        "priority-policy",
        "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 value { } } }\n"
        + BATCHED,
        "priority_queue_policy names the level 3: with 2 priority_levels, write 1 to 2.",
    ),
    _refused(
        "ordered-priorities",
        "dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }\n" + BATCHED,
        "preserve_ordering allows one priority level only: leave it out, or write priority_levels: 1.",
    ),
    _refused(
        "ordered-delay",
        "dynamic_batching { preserve_ordering: true default_queue_policy "
        "{ timeout_action: DELAY default_timeout_microseconds: 5 } }\n" + BATCHED,
        "preserve_ordering allows no timeout_action DELAY: write REJECT, or leave preserve_ordering out.",
    ),
    _input(
        "dims-missing",
        'name: "IN" data_type: TYPE_FP32',
        "Input IN has no dims: write them, such as dims: [ -1 ]. One value has dims: [ 1 ].",
    ),
    _input(
        "dims-zero",
        'name: "IN" data_type: TYPE_FP32 dims: [ 0, 2 ]',
        "Input IN has dims [0, 2]: a size is at least 1, or -1 for any.",
    ),
    _input(
        "type-missing", 'name: "IN" dims: [ 2 ]', "Input IN has no data_type: write one, such as data_type: TYPE_FP32."
    ),
    _input(
        "name-missing",
        "data_type: TYPE_FP32 dims: [ 2 ]",
        "Input 1 has no name: write the name that the model gives it.",
    ),
    _input(
        "name-twice",
        'name: "IN" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "IN" data_type: TYPE_FP32 dims: [ 2 ]',
        "The input IN is listed twice: list it once.",
    ),
    _input(
        "reshape-unbatched",
        'name: "IN" data_type: TYPE_FP32 dims: [ 1 ] reshape: { shape: [ ] }',
        "Input IN is reshaped to no dimensions, which needs batches: set max_batch_size, or leave reshape out.",
    ),
    _input(
        "reshape-uneven",
        'name: "IN" data_type: TYPE_FP32 dims: [ 2, -1 ] reshape: { shape: [ 3, -1 ] }',
        "Input IN is reshaped from [2, -1] to [3, -1], which hold different numbers of values: correct one of them.",
    ),
    _input(
        "image-format",
        'name: "IN" data_type: TYPE_FP32 dims: [ 3, 4 ] format: FORMAT_NCHW',
        "Input IN has the format FORMAT_NCHW, which needs three dims: leave the format out.",
    ),
    _input(
        "shape-tensor",
        'name: "IN" data_type: TYPE_INT32 dims: [ 3 ] is_shape_tensor: true',
        "Input IN sets is_shape_tensor, which only TensorRT models have: leave it out.",
    ),
    _control(
        "control-pairs",
        '{ name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] '
        "fp32_false_true: [0, 1] } ] }",
        "The control_input START has 2 pairs of values: write one of int32_false_true, fp32_false_true, "
        "bool_false_true.",
    ),
    _control(
        "control-id-type",
        '{ name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } ] }',
        "The control_input CORRID has the data_type TYPE_FP32: write one of TYPE_UINT64, TYPE_INT64, TYPE_UINT32, "
        "TYPE_INT32, TYPE_STRING.",
    ),
    _refused(
        "cached-sequences",
        "max_batch_size: 4\nsequence_batching { }\nresponse_cache { enable: true }\n" + SUM_TENSORS,
        "response_cache cannot be enabled for a model with sequences: leave it out.",
    ),
    _refused(
        "cached-stream",
        "model_transaction_policy { decoupled: true }\nresponse_cache { enable: true }\n" + ONE,
        "response_cache cannot be enabled for a decoupled model: leave it out.",
    ),
    _refused(
        "profile-on-python",
        'instance_group [ { count: 1 kind: KIND_CPU profile: [ "1" ] } ]\n' + ONE,
        "An instance_group names a profile, which only TensorRT models have: leave it out.",
    ),
    _refused(
        "gpus-on-cpu",
        "instance_group [ { count: 1 kind: KIND_CPU gpus: [ 0 ] } ]\n" + ONE,
        "An instance_group of KIND_CPU names gpus: leave them out, or write KIND_GPU.",
    ),
)
