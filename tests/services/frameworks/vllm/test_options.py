"""`framework_config` of a vLLM service."""

from __future__ import annotations

from typing import Any

import pytest

from console.errors import InvalidFields
from services.frameworks.vllm import extra_args, options
from services.frameworks.vllm.framework import Vllm

parse = Vllm().parse_config

FULL = {
    "task": "chat",
    "dtype": "bfloat16",
    "max_model_len": 4096,
    "tensor_parallel_size": 2,
    "gpu_memory_utilization": 0.8,
    "quantization": "fp8",
    "lora_modules": [{"name": "support", "path": "adapters/a"}],
    "max_loras": 2,
    "max_lora_rank": 32,
    "trust_remote_code": True,
    "tool_call_parser": "hermes",
    "enable_auto_tool_choice": True,
    "reasoning_parser": "qwen3",
    "shared_memory_mib": 1024,
    "cpu_kvcache_gib": 4,
    "extra_args": ["--max-num-seqs=64", "--no-enable-prefix-caching"],
    "startup_timeout_seconds": 900,
}


def test_all_options_pass_through_and_parsing_twice_changes_nothing() -> None:
    assert set(FULL) == set(options.Options.__annotations__)
    assert parse(FULL) == FULL
    assert parse(parse(FULL)) == FULL


def test_what_sets_nothing_is_left_out() -> None:
    assert parse(dict.fromkeys(options.Options.__annotations__)) == {}
    assert parse({"task": "", "lora_modules": [], "trust_remote_code": False, "extra_args": []}) == {}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("task", "poetry", "Must be one of: chat, completion, embedding"),
        ("task", ["chat"], "Must be one of"),
        ("dtype", "int4", "Must be one of: auto"),
        ("max_model_len", 8, "from 16 to"),
        ("max_model_len", True, "whole number"),
        ("tensor_parallel_size", 0, "from 1 to 64"),
        ("gpu_memory_utilization", 1.5, "from 0.05 to 0.99"),
        ("gpu_memory_utilization", float("nan"), "from 0.05 to 0.99"),
        ("quantization", "../x", "quantisations"),
        ("max_lora_rank", 20, "Must be one of: 1, 8, 16"),
        ("max_lora_rank", True, "Must be one of"),
        ("trust_remote_code", "yes", "true or false"),
        ("tool_call_parser", "a b", "tool parsers"),
        ("reasoning_parser", 3, "reasoning parsers"),
        ("shared_memory_mib", 1, "from 16 to"),
        ("cpu_kvcache_gib", 0.5, "whole number"),
        ("startup_timeout_seconds", 5, "from 10 to"),
        ("lora_modules", "x", "Must be a list"),
        ("extra_args", "--seed=1", "Must be a list"),
        ("model", "/etc", "Unknown"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        parse({field: value})
    [(name, [problem])] = caught.value.errors.items()
    assert name == f"framework_config.{field}"
    assert message in problem


@pytest.mark.parametrize(
    ("module", "field"),
    [
        ({"name": "a:b", "path": "x"}, "lora_modules.0.name"),
        ({"name": "a=b", "path": "x"}, "lora_modules.0.name"),
        ({"name": "", "path": "x"}, "lora_modules.0.name"),
        ({"name": "a", "path": "/etc"}, "lora_modules.0.path"),
        ({"name": "a", "path": "x/../.."}, "lora_modules.0.path"),
        ({"name": "a", "path": ""}, "lora_modules.0.path"),
        ({"name": "a"}, "lora_modules.0.path"),
        ({"name": "a", "path": "x", "base": "y"}, "lora_modules.0.base"),
        ("a", "lora_modules.0"),
    ],
)
def test_a_wrong_lora_module_is_named(module: Any, field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        parse({"lora_modules": [module]})
    assert list(caught.value.errors) == [f"framework_config.{field}"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"max_loras": 2}, "max_loras"),
        ({"enable_auto_tool_choice": True}, "tool_call_parser"),
        ({"task": "embedding", "tool_call_parser": "hermes"}, "tool_call_parser"),
        ({"lora_modules": [{"name": "a", "path": "x"}, {"name": "a", "path": "y"}]}, "lora_modules.1.name"),
        ({"extra_args": ["--seed=1", "--seed=2"]}, "extra_args.1"),
    ],
)
def test_options_that_do_not_go_together_are_named(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        parse(sent)
    assert list(caught.value.errors) == [f"framework_config.{field}"]


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidFields) as caught:
        parse({"task": "x", "dtype": "y", "extra_args": ["--host=0.0.0.0", "--seed=1", "--api-key=k"]})
    assert set(caught.value.errors) == {
        "framework_config.task",
        "framework_config.dtype",
        "framework_config.extra_args.0",
        "framework_config.extra_args.2",
    }


@pytest.mark.parametrize(
    "argument",
    [
        "--host=0.0.0.0",
        "--port=1",
        "--model=/etc",
        "--middleware=os.system",
        "--tool-parser-plugin=/tmp/x.py",
        "--api-key=x",
        "--enable-prompt-embeds",
        "--allowed-local-media-path=/",
        "--trust-remote-code",
        "--hf-token=x",
        "--load-format=tensorizer",
        "--worker-cls=x",
        "--logits-processors=x",
        "--profiler-config={}",
        "--seed=1 --host=x",
        "--max-num-seqs",
        "--max-num-seqs=many",
        "--generation-config=/etc",
        "--enforce-eager=1",
        "",
        "-tp=2",
        "--se=1",
    ],
)
def test_an_argument_outside_the_allow_list_is_refused(argument: str) -> None:
    assert extra_args.problem(argument)


@pytest.mark.parametrize("argument", ["--seed=1", "--enforce-eager", "--no-enforce-eager", "--scheduling-policy=fcfs"])
def test_an_argument_of_the_allow_list_passes(argument: str) -> None:
    assert not extra_args.problem(argument)


def test_remote_code_is_for_administrators() -> None:
    assert Vllm().needs_administrator({"trust_remote_code": True})
    assert not Vllm().needs_administrator({"task": "chat"})


def test_the_longest_start_is_as_asked_for_or_ten_minutes() -> None:
    assert Vllm().start_seconds({}) == 600
    assert Vllm().start_seconds({"startup_timeout_seconds": 30}) == 30
