"""config.pbtxt: an existing one is kept, and only what the form sets changes."""

from __future__ import annotations

from typing import Any

import pytest

from services.errors import ModelError
from services.frameworks.triton import config
from services.frameworks.triton.framework import Triton
from services.specs import Tensor

FULL = """
name: "old" platform: "onnxruntime_onnx" max_batch_size: 4
version_policy { all {} }
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, 4 ] optional: true reshape { shape: [ 12 ] } },
        { name: "y" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "z" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" } ]
instance_group [ { count: 1 kind: KIND_GPU gpus: [ 0 ] }, { count: 3 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4 ] priority_levels: 2 default_priority_level: 1 }
parameters { key: "kept" value { string_value: "1" } }
model_warmup [ { name: "w" batch_size: 1 } ]
"""


def overlaid(text: str, **sent: Any) -> Any:
    return config.overlay(config.parse(text), Triton().parse_config(sent), "digits")


def test_without_options_only_the_name_changes() -> None:
    before, after = config.parse(FULL), overlaid(FULL)
    assert after.name == "digits"
    after.name = before.name
    assert after == before


def test_what_the_form_sets_changes_and_the_rest_stays() -> None:
    model_config = overlaid(
        FULL,
        max_batch_size=16,
        instances=2,
        parameters={"added": "2"},
        dynamic_batching={"preferred_batch_size": [8], "max_queue_delay_microseconds": 50},
    )
    assert model_config.max_batch_size == 16
    assert [(group.count, list(group.gpus)) for group in model_config.instance_group] == [(2, [0]), (2, [])]
    assert list(model_config.dynamic_batching.preferred_batch_size) == [8]
    assert model_config.dynamic_batching.max_queue_delay_microseconds == 50
    assert model_config.dynamic_batching.priority_levels == 2
    assert {key: value.string_value for key, value in model_config.parameters.items()} == {"kept": "1", "added": "2"}
    assert model_config.model_warmup[0].name == "w"
    assert model_config.version_policy.HasField("all")


def test_tensors_of_the_form_replace_the_list_and_keep_the_other_fields_of_their_namesakes() -> None:
    model_config = overlaid(
        FULL,
        inputs=[
            {"name": "new", "datatype": "INT64", "shape": [-1]},
            {"name": "x", "datatype": "FP16", "shape": [3, 4]},
        ],
    )
    assert [tensor.name for tensor in model_config.input] == ["new", "x"]
    assert model_config.input[1].optional
    assert list(model_config.input[1].reshape.shape) == [12]
    assert config.tensors(model_config.input) == (Tensor("new", "INT64", (-1,)), Tensor("x", "FP16", (3, 4)))
    assert model_config.output[0].label_filename == "labels.txt"


def test_new_dims_drop_a_reshape_that_was_made_for_the_old_ones() -> None:
    model_config = overlaid(FULL, inputs=[{"name": "x", "datatype": "FP32", "shape": [5]}])
    assert list(model_config.input[0].dims) == [5]
    assert not model_config.input[0].HasField("reshape")


def test_dynamic_batching_is_switched_off_and_on() -> None:
    assert not overlaid(FULL, dynamic_batching={"enabled": False}).HasField("dynamic_batching")
    assert overlaid("max_batch_size: 2", dynamic_batching={}).HasField("dynamic_batching")


def test_dynamic_batching_beside_sequence_batching_is_refused_and_not_overwritten() -> None:
    with pytest.raises(ModelError, match="uses sequence_batching"):
        overlaid("max_batch_size: 2 sequence_batching {}", dynamic_batching={})


def test_a_backend_of_the_form_replaces_the_platform() -> None:
    model_config = overlaid(FULL, backend="python")
    assert (model_config.backend, model_config.platform) == ("python", "")
    assert config.backend(config.parse(FULL)) == "onnxruntime"


BATCHED = """
input [{ name: "x" data_type: TYPE_FP32 dims: [-1, 64] }] output [{ name: "y" data_type: TYPE_FP32 dims: [-1] }]
"""


def test_switching_batching_on_turns_a_free_first_dimension_into_the_batch() -> None:
    model_config = overlaid(BATCHED, max_batch_size=8)
    assert list(model_config.input[0].dims) == [64]
    assert list(model_config.output[0].dims) == [1]
    assert model_config.output[0].HasField("reshape")
    back = config.overlay(model_config, {"max_batch_size": 0}, "digits")
    assert [list(back.input[0].dims), list(back.output[0].dims)] == [[-1, 64], [-1]]


def test_switching_batching_on_leaves_fixed_shapes_and_those_of_the_form_alone() -> None:
    fixed = BATCHED.replace("dims: [-1]", "dims: [10]")
    assert list(overlaid(fixed, max_batch_size=8).input[0].dims) == [-1, 64]
    mine = overlaid(BATCHED, max_batch_size=8, inputs=[{"name": "x", "datatype": "FP32", "shape": [-1, 32]}])
    assert list(mine.input[0].dims) == [-1, 32]


def test_a_broken_file_is_refused_with_line_and_column() -> None:
    wrong = r'broken at line 2, column 1: .*no field named "max_batch" \(did you mean max_batch_size\?\)\.$'
    with pytest.raises(ModelError, match=wrong):
        config.parse('name: "x"\nmax_batch: 3\n')
    with pytest.raises(ModelError, match="broken at line 1, column "):
        config.parse("input [ {")


def test_what_is_written_reads_back_the_same() -> None:
    model_config = overlaid(FULL, instances=4)
    assert config.parse(config.write(model_config)) == model_config


def test_missing_tensors_are_filled_in_from_the_model_and_a_scalar_of_a_batch_gets_a_reshape() -> None:
    model_config = config.parse("max_batch_size: 8")
    config.complete(model_config, [Tensor("x", "FP32", (-1, 64))], [Tensor("y", "BYTES", (-1,))])
    assert config.tensors(model_config.input) == (Tensor("x", "FP32", (64,)),)
    assert config.tensors(model_config.output) == (Tensor("y", "BYTES", (1,)),)
    assert model_config.output[0].HasField("reshape")


def test_a_scalar_of_a_model_without_batching_is_one_element_without_reshape() -> None:
    model_config = config.parse("")
    config.complete(model_config, [], [Tensor("total", "FP32", ())])
    assert config.tensors(model_config.output) == (Tensor("total", "FP32", (1,)),)
    assert not model_config.output[0].HasField("reshape"), "Triton refuses it there"


def test_on_a_cpu_gpu_groups_move_and_a_model_without_groups_gets_one_instance() -> None:
    model_config = config.parse(FULL)
    config.on_cpu(model_config)
    assert [(group.count, group.kind == group.KIND_CPU, list(group.gpus)) for group in model_config.instance_group] == [
        (1, True, []),
        (3, True, []),
    ]
    bare = config.parse("")
    config.on_cpu(bare)
    assert [group.count for group in bare.instance_group] == [1]


def test_ids_of_sequences_as_text_are_passed_by_a_parameter_to_our_onnx_backend_alone() -> None:
    control = 'control_input { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }'
    for name, left in (("onnxruntime", 0), ("python", 1)):
        model_config = config.parse(f'backend: "{name}" sequence_batching {{ {control} }}')
        config.pass_text_ids(model_config)
        assert len(model_config.sequence_batching.control_input) == left
        assert model_config.parameters[config.TEXT_ID].string_value == ("" if left else "ID")
        assert model_config.WhichOneof("scheduling_choice") == "sequence_batching"


def test_on_a_cpu_states_have_memory_of_their_own() -> None:
    fields = "use_growable_memory: true use_same_buffer_for_input_output: true"
    model_config = config.parse(f"sequence_batching {{ state {{ {fields} }} }}")
    config.on_cpu(model_config)
    assert model_config.sequence_batching.state[0] == type(model_config.sequence_batching.state[0])()


def test_the_library_that_triton_loads_anyway_is_left_out() -> None:
    assert overlaid('backend: "onnxruntime" runtime: "libtriton_onnxruntime.so"').runtime == ""
    assert overlaid('backend: "onnxruntime" runtime: "libtriton_mine.so"').runtime == "libtriton_mine.so"


@pytest.mark.parametrize(
    ("tensor", "classified"),
    [
        ("TYPE_FP32 dims: [ 3 ]", True),
        ("TYPE_INT8 dims: [ 2, 3 ]", True),
        ("TYPE_BF16 dims: [ 1 ]", True),
        ("TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] }", True),
        ("TYPE_FP32 dims: [ -1 ]", False),
        ("TYPE_FP32 dims: [ 3, -1 ]", False),
        ("TYPE_FP32 dims: [ 3, 0 ]", False),
        ("TYPE_FP32", False),
        ("TYPE_STRING dims: [ 3 ]", False),
        ("TYPE_INVALID dims: [ 3 ]", False),
    ],
)
@pytest.mark.parametrize("batching", ["", "max_batch_size: 4 "])
def test_triton_classifies_numbers_of_which_there_are_always_some(batching: str, tensor: str, classified: bool) -> None:
    parsed = config.parse(f'{batching}output [ {{ name: "a" data_type: {tensor} }} ]')
    assert config.classified(parsed) == (("a",) if classified else ())


def test_of_several_outputs_those_that_can_be_classified_are_named() -> None:
    outputs = "".join(
        f'{{ name: "{name}" data_type: {datatype} dims: [ {dims} ] }},'
        for name, datatype, dims in (("x", "TYPE_FP32", "3"), ("y", "TYPE_STRING", "1"), ("z", "TYPE_INT64", "1"))
    )
    assert config.classified(config.parse(f"output [ {outputs.rstrip(',')} ]")) == ("x", "z")
    assert config.classified(config.parse("")) == ()
