"""A service as people send it: every wrong field is named, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from console.errors import InvalidFields
from services.parsing import parse_name, parse_replicas, parse_spec
from services.specs import ServiceSpec

GOOD: dict[str, Any] = {"framework": "triton", "dataset": "samples", "model_path": "mnist-svm", "queue": "default"}


def errors_of(**changes: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidFields) as caught:
        parse_spec({**GOOD, **changes})
    return caught.value.errors


def test_the_least_one_can_send_gets_the_defaults() -> None:
    spec = parse_spec(GOOD)
    assert (spec.resources.cpu, spec.resources.memory_gib, spec.resources.gpu) == (1, 1, 0)
    assert spec.auth.policy == "api_key"


def test_a_spec_survives_being_stored() -> None:
    spec = parse_spec(
        {
            **GOOD,
            "affinity": {
                "required": [{"key": "zone", "operator": "In", "values": ["a"]}],
                "preferred": [{"weight": 50, "key": "gpu.product", "operator": "Exists"}],
            },
            "env": {"LEVEL": "1"},
        }
    )
    assert ServiceSpec.from_json(spec.to_json()) == spec


def test_all_wrong_fields_are_named_at_once() -> None:
    errors = errors_of(framework="tensorrt", resources={"cpu": -1, "gpus": 2}, auth={"policy": "none"}, env={"1X": "y"})
    assert set(errors) == {"framework", "resources.cpu", "resources.gpus", "auth.policy", "env.1X"}


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PYTHONPATH"])
def test_a_variable_that_would_break_the_isolation_is_refused(name: str) -> None:
    assert "isolation" in errors_of(env={name: "x"})[f"env.{name}"][0]


@pytest.mark.parametrize("path", ["../secrets", "a/../../b", "/etc", "a\0b"])
def test_a_path_that_could_lead_outside_is_refused(path: str) -> None:
    assert "model_path" in errors_of(model_path=path)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"key": "zone", "operator": "in", "values": ["a"]}, "operator"),
        ({"key": "zone", "operator": ["In"], "values": ["a"]}, "operator"),
        ({"key": "zone", "operator": {}}, "operator"),
        ({"key": "zone", "operator": "In", "values": []}, "values"),
        ({"key": "zone", "operator": "Exists", "values": ["a"]}, "values"),
        ({"key": "cpu", "operator": "Gt", "values": ["many"]}, "values"),
        ({"key": "", "operator": "Exists"}, "key"),
    ],
)
def test_a_wrong_affinity_rule_is_pointed_at(rule: dict[str, Any], field: str) -> None:
    assert f"affinity.required.0.{field}" in errors_of(affinity={"required": [rule]})


def test_more_rules_than_anybody_needs_are_refused() -> None:
    rule = {"key": "zone", "operator": "Exists"}
    assert errors_of(affinity={"required": [rule] * 101}) == {"affinity.required": ["At most 100 rules."]}


def test_a_variable_too_long_to_start_a_process_with_is_refused() -> None:
    assert errors_of(env={"A": "x" * 40_000}) == {"env.A": ["At most 32,768 characters."]}


def test_a_description_is_a_short_text() -> None:
    assert parse_spec({**GOOD, "description": " Reads digits. "}).description == "Reads digits."
    assert parse_spec({**GOOD, "description": "x" * 200}).description == "x" * 200
    assert errors_of(description="x" * 201) == {"description": ["At most 200 characters."]}
    assert errors_of(description=None) == {"description": ["Must be text."]}


def test_a_revision_stored_before_there_were_descriptions_is_read() -> None:
    stored = {key: value for key, value in parse_spec(GOOD).to_json().items() if key != "description"}
    assert ServiceSpec.from_json(stored) == parse_spec(GOOD)


def test_a_weight_must_be_between_1_and_100() -> None:
    rule = {"weight": 0, "key": "zone", "operator": "Exists"}
    assert errors_of(affinity={"preferred": [rule]}) == {
        "affinity.preferred.0.weight": ["Must be a whole number from 1 to 100."]
    }


def test_a_gpu_type_without_gpus_is_a_mistake() -> None:
    assert "resources.gpu_type" in errors_of(resources={"gpu_type": "NVIDIA-H200"})


@pytest.mark.parametrize("name", ["Abc", "1abc", "a_b", "-a", "a-", "a" * 64, "", None, "ä"])
def test_a_name_must_be_a_dns_label(name: Any) -> None:
    with pytest.raises(InvalidFields, match="lower-case letters"):
        parse_name(name)


@pytest.mark.parametrize("replicas", [0, 65, True, "2", 1.5])
def test_replicas_must_be_a_whole_number(replicas: Any) -> None:
    with pytest.raises(InvalidFields, match="whole number"):
        parse_replicas(replicas)
