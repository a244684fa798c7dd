"""Every text of a config.pbtxt is decided on; files stay inside, libraries and unknown settings need trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from datasets.inspect.config_pbtxt import config_fields, pbtxt

ACCELERATOR = (
    'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" parameters { %s } } } } '
)


def decided(descriptor: Any, prefix: str = "") -> Iterator[str]:
    """Paths of all texts that a message can hold."""
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        if field.message_type is None:
            if field.cpp_type == field.CPPTYPE_STRING:
                yield path
        elif not field.message_type.GetOptions().map_entry:
            yield from decided(field.message_type, f"{path}.")
        else:
            key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
            if value.message_type is None:
                assert value.cpp_type == value.CPPTYPE_STRING
                yield f"{path}{{value}}"
                continue
            yield from decided(value.message_type, f"{path}{{}}.")
            if key.cpp_type == key.CPPTYPE_STRING:
                yield f"{path}{{key}}"


def test_the_table_has_every_text_that_a_configuration_can_hold_and_no_other() -> None:
    assert set(decided(model_config_pb2.ModelConfig.DESCRIPTOR)) == set(config_fields.FIELDS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('cc_model_filenames { key: "8.0" value: "../x" }', "cc_model_filenames[8.0] '../x' leads out"),
        ('output { name: "O" label_filename: "/etc/passwd" }', "output.label_filename '/etc/passwd' leads out"),
        (
            'model_warmup { inputs { key: "I" value { input_data_file: "../../x" } } }',
            "model_warmup.inputs[I] '../../x'",
        ),
        ('sequence_batching { state { initial_state { data_file: "a/../../b" } } }', "data_file 'a/../../b' leads out"),
        ('runtime: "/tmp/x.so"', "runtime '/tmp/x.so' leads out"),
        ('model_operations { op_library_filename: "../x.so" }', "'../x.so' leads out"),
        ('model_repository_agents { agents { name: "checksum" } }', "loads the files of its folder, and nothing else"),
        ('optimization { execution_accelerators { gpu_execution_accelerator { name: "../x" } } }', "name is a word"),
        (
            'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/tmp/x.tar.gz" } }',
            "must be a file of the model",
        ),
        (
            'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/../x" } }',
            "must be a",
        ),
    ],
)
def test_what_leads_out_of_the_model_is_never_served(text: str, problem: str) -> None:
    [message] = config_fields.problems(pbtxt.parse(f'backend: "python" {text}'))
    assert problem in message


@pytest.mark.parametrize(
    "text",
    [
        'runtime: "1/lib.so"',
        'model_operations { op_library_filename: "1/x.so" }',
        'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }',
        'parameters { key: "CPU_EXTENSION_PATH" value { string_value: "libx.so" } }',
        'parameters { key: "intra_op_thread_count" value { string_value: "/x" } }',
        ACCELERATOR % 'key: "trt_extra_plugin_lib_paths" value: "x.so"',
    ],
)
def test_what_can_name_a_library_needs_trust(text: str) -> None:
    config = pbtxt.parse(text)
    [one] = config_fields.settings(config, "config.pbtxt")
    assert one.runs and one.path == "config.pbtxt" and not config_fields.problems(config)


def test_what_tunes_a_harmless_model_needs_none() -> None:
    config = pbtxt.parse(
        'name: "m" backend: "onnxruntime" default_model_filename: "m.onnx" metric_tags { key: "a" value: "b/c" } '
        'parameters { key: "intra_op_thread_count" value { string_value: "2" } } '
        'parameters { key: "MODEL_LABELS" value { string_value: "a/b" } } '
        + ACCELERATOR % 'key: "precision_mode" value: "FP16"'
        + 'output { name: "o/0" label_filename: "labels.txt" }'
    )
    assert config_fields.settings(config, "config.pbtxt") == [] and config_fields.problems(config) == []


def test_the_library_that_triton_loads_anyway_is_no_code_of_the_model() -> None:
    for runtime, names in (("libtriton_onnxruntime.so", []), ("libtriton_other.so", ["library"])):
        config = pbtxt.parse(f'backend: "onnxruntime" runtime: "{runtime}"')
        assert [one.kind for one in config_fields.settings(config, "config.pbtxt")] == names
