"""`framework_config` of a Triton service."""

from __future__ import annotations

from typing import Any

import pytest

from console.errors import InvalidFields
from services.frameworks.triton import options
from services.frameworks.triton.framework import Triton

parse = Triton().parse_config


def test_all_options_pass_through_and_what_is_not_set_is_left_out() -> None:
    sent = {
        "max_batch_size": 8,
        "instances": 2,
        "backend": "",
        "parameters": {"threads": "2"},
        "outputs": [],
        "dynamic_batching": {"preferred_batch_size": [8, 4, 4], "max_queue_delay_microseconds": 100},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
    }
    assert parse(sent) == {
        "max_batch_size": 8,
        "instances": 2,
        "parameters": {"threads": "2"},
        "dynamic_batching": {"enabled": True, "preferred_batch_size": [4, 8], "max_queue_delay_microseconds": 100},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
    }


def test_null_sets_nothing_and_parsing_twice_changes_nothing() -> None:
    assert parse(dict.fromkeys(options.Options.__annotations__)) == {}
    once = parse({"max_batch_size": 0, "dynamic_batching": {"enabled": False}})
    assert once == {"max_batch_size": 0, "dynamic_batching": {"enabled": False}}
    assert parse(once) == once


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"gpus": 1}, "gpus", "Unknown"),
    ({"max_batch_size": "8"}, "max_batch_size", "whole number from 0"),
    ({"max_batch_size": True}, "max_batch_size", "whole number"),
    ({"max_batch_size": -1}, "max_batch_size", "from 0 to"),
    ({"instances": 0}, "instances", "from 1 to 64"),
    ({"instances": 1.5}, "instances", "whole number"),
    ({"backend": "../x"}, "backend", "name of a Triton backend"),
    ({"backend": 3}, "backend", "name of a Triton backend"),
    ({"dynamic_batching": True}, "dynamic_batching", "an object with enabled"),
    ({"dynamic_batching": {"enabled": "yes"}}, "dynamic_batching.enabled", "true or false"),
    ({"dynamic_batching": {"size": 4}}, "dynamic_batching.size", "Unknown"),
    ({"dynamic_batching": {"preferred_batch_size": 4}}, "dynamic_batching.preferred_batch_size", "list"),
    ({"dynamic_batching": {"preferred_batch_size": [0]}}, "dynamic_batching.preferred_batch_size.0", "from 1 to"),
    (
        {"dynamic_batching": {"max_queue_delay_microseconds": -1}},
        "dynamic_batching.max_queue_delay_microseconds",
        "from 0 to",
    ),
    ({"max_batch_size": 0, "dynamic_batching": {}}, "dynamic_batching", "at least 1"),
    (
        {"max_batch_size": 4, "dynamic_batching": {"preferred_batch_size": [8]}},
        "dynamic_batching.preferred_batch_size",
        r"may exceed max_batch_size \(4\)",
    ),
    ({"inputs": {"name": "x"}}, "inputs", "list"),
    ({"inputs": ["x"]}, "inputs.0", "datatype"),
    ({"inputs": [{"name": "", "datatype": "FP32", "shape": [1]}]}, "inputs.0.name", "name"),
    ({"inputs": [{"name": "x", "datatype": "float", "shape": [1]}]}, "inputs.0.datatype", "one of: BOOL, "),
    ({"outputs": [{"name": "x", "datatype": "FP32", "shape": []}]}, "outputs.0.shape", "at least one dimension"),
    ({"outputs": [{"name": "x", "datatype": "FP32", "shape": [0]}]}, "outputs.0.shape", "not 0"),
    ({"outputs": [{"name": "x", "datatype": "FP32", "shape": [1 << 63]}]}, "outputs.0.shape", "not 92"),
    ({"outputs": [{"name": "x", "datatype": "FP32", "shape": ["a"]}]}, "outputs.0.shape", "not 'a'"),
    (
        {"outputs": [{"name": "x", "datatype": "FP32", "shape": [1], "dims": [1]}]},
        "outputs.0.dims",
        "Unknown. Use name",
    ),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}] * 2}, "inputs.1.name", "x is there more than once"),
    ({"parameters": ["a"]}, "parameters", "object"),
    ({"parameters": {"threads": 2}}, "parameters.threads", "text, not 2"),
    ({"parameters": {" ": "x"}}, "parameters", "needs a name"),
]


@pytest.mark.parametrize(("sent", "field", "message"), WRONG)
def test_what_is_wrong_is_named_by_its_field(sent: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidFields, match=message) as caught:
        parse(sent)
    assert list(caught.value.errors) == [f"framework_config.{field}"]


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidFields) as caught:
        parse({"instances": 0, "gpus": 1, "inputs": [{}]})
    assert set(caught.value.errors) == {
        "framework_config.instances",
        "framework_config.gpus",
        "framework_config.inputs.0.name",
        "framework_config.inputs.0.datatype",
        "framework_config.inputs.0.shape",
    }
