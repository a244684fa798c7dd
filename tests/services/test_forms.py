"""The form's way to the JSON of the API and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given, settings
from hypothesis import strategies as st

from console.errors import InvalidFields
from services.forms import blank, from_post, from_spec, to_payload
from services.forms.model import Model, fill
from services.forms.names import COLUMNS, DEFAULTS, FRAMEWORKS
from services.forms.state import ServiceForm
from services.forms.typed import number
from services.parsing import parse_spec
from services.specs import ModelDescription, ServiceLimits

FULL: dict[str, Any] = {
    "name": "digits",
    "framework": "triton",
    "dataset": "samples",
    "model_path": "mnist",
    "queue": "default",
    "replicas": 2,
    "resources": {"cpu": 0.5, "memory_gib": 2.0, "gpu": 1, "gpu_type": "NVIDIA-H200"},
    "auth": {"policy": "api_key", "header": "x-key", "parameters": [{"name": "x-tenant", "value": "blue"}]},
    "cors": {"allowed_origins": ["https://app.example", "http://localhost:3000"]},
    "limits": {"max_payload_mib": 4, "timeout_seconds": 60, "concurrency": None, "stall_seconds": 30},
    "affinity": {
        "required": [
            {"key": "gpu.product", "operator": "In", "values": ["NVIDIA-H200", "NVIDIA-B200"]},
            {"key": "zone", "operator": "Exists", "values": []},
        ],
        "preferred": [{"weight": 50, "key": "cpu", "operator": "Gt", "values": ["4"]}],
    },
    "framework_config": {
        "model": "digits",
        "max_batch_size": 8,
        "instances": 2,
        "parameters": {"threads": "4", "a.b": "c"},
        "backend": "python",
        "dynamic_batching": {"enabled": True, "preferred_batch_size": [4, 8], "max_queue_delay_microseconds": 100},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [1]}],
    },
    "env": {"LOG": "a, b", "EMPTY": ""},
    "description": "Reads digits.",
}


VLLM: dict[str, Any] = {
    **FULL,
    "framework": "vllm",
    "framework_config": {
        "task": "chat",
        "dtype": "bfloat16",
        "max_model_len": 4096,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.8,
        "quantization": "awq",
        "max_loras": 2,
        "max_lora_rank": 16,
        "trust_remote_code": True,
        "tool_call_parser": "hermes",
        "enable_auto_tool_choice": True,
        "reasoning_parser": "qwen3",
        "shared_memory_mib": 512,
        "cpu_kvcache_gib": 1.5,
        "startup_timeout_seconds": 900,
        "lora_modules": [{"name": "pirate", "path": "adapters/pirate"}, {"name": "b", "path": "b"}],
        "extra_args": ["--max-num-seqs=64", "--enable-prefix-caching"],
    },
}


def post_of(form: ServiceForm) -> QueryDict:
    """What a browser sends of the form as it is shown."""
    post = QueryDict(mutable=True)
    for field in form.fields.values():
        post[field.name] = field.value
    for rows in form.rows.values():
        for row in rows:
            for cell in row.cells.values():
                post.appendlist(cell.name, cell.value)
    return post


def post(**changes: str | list[str]) -> QueryDict:
    data = post_of(blank(name="digits", team="vision", dataset="samples", model_path="mnist"))
    for name, value in changes.items():
        data.setlist(name.replace("__", "."), [value] if isinstance(value, str) else value)
    return data


def spec_of(payload: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key not in {"name", "replicas"}}


@pytest.mark.parametrize("service", [FULL, VLLM], ids=["triton", "vllm"])
def test_a_service_shown_in_the_form_and_sent_back_is_the_same_service(service: dict[str, Any]) -> None:
    form = from_spec("digits", "vision", 2, spec_of(service))
    assert to_payload(post_of(form)) == service
    assert from_post(post_of(form)) == form


def test_an_untouched_form_asks_for_the_defaults_and_changes_nothing_of_the_model() -> None:
    payload = to_payload(post())
    spec = parse_spec(payload)
    assert (payload["replicas"], spec.resources.cpu, spec.resources.gpu, spec.auth.policy) == (1, 1.0, 0, "api_key")
    assert spec.framework_config == {} and spec.env == {} and not spec.affinity.required
    assert spec.limits == ServiceLimits() and (spec.auth.header, spec.auth.parameters) == ("", ())
    assert to_payload(post(framework="vllm"))["framework_config"] == {}


def test_of_the_fields_of_another_framework_nothing_is_sent() -> None:
    cells: dict[str, str | list[str]] = {
        "framework_config__instances": "2",
        "framework_config__max_model_len": "128",
        "framework_config__trust_remote_code": "on",
    }
    assert to_payload(post(**cells))["framework_config"] == {"instances": 2}
    sent = to_payload(post(**cells, framework="vllm"))["framework_config"]
    assert sent == {"max_model_len": 128, "trust_remote_code": True}


def test_what_the_page_filled_in_from_the_files_is_not_sent() -> None:
    read = ModelDescription(task="chat", max_model_len=2048)
    form = fill(blank(framework="vllm", dataset="samples"), Model("samples", "llama", description=read))
    shown = form.fields["framework_config_task"], form.fields["framework_config_max_model_len"]
    assert [(field.value, field.read) for field in shown] == [("chat", "chat"), ("2048", "2048")]
    sent = post_of(form)
    for field in shown:
        sent[f"{field.name}.read"] = field.read
    assert to_payload(sent)["framework_config"] == {}
    assert from_post(sent).fields["framework_config_max_model_len"].value == ""
    sent["framework_config.max_model_len"] = "512"
    assert to_payload(sent)["framework_config"] == {"max_model_len": 512}
    assert from_post(sent).fields["framework_config_max_model_len"].value == "512"


def test_what_a_person_said_stays_when_the_files_say_something_else() -> None:
    read = ModelDescription(task="chat", max_model_len=2048)
    form = fill(blank(framework_config_max_model_len="512"), Model("samples", "llama", description=read))
    field = form.fields["framework_config_max_model_len"]
    assert (field.value, field.read) == ("512", "")


def test_rows_without_text_are_left_out() -> None:
    payload = to_payload(
        post(
            **{
                "affinity__required__key": ["", "zone"],
                "affinity__required__operator": ["In", "In"],
                "affinity__required__values": ["", "a,b"],
                "env__name": ["", " "],
                "env__value": ["", ""],
            }
        )
    )
    assert payload["affinity"]["required"] == [{"key": "zone", "operator": "In", "values": ["a", "b"]}]
    assert payload["env"] == {}


def test_tensors_as_they_were_read_from_the_model_are_not_sent() -> None:
    read = [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}]
    cells: dict[str, str | list[str]] = {
        "framework_config__inputs__name": "x",
        "framework_config__inputs__datatype": "FP32",
        "framework_config__inputs__shape": "-1, 64",
        "framework_config__inputs__read": json.dumps(read),
    }
    assert "inputs" not in to_payload(post(**cells))["framework_config"]
    cells["framework_config__inputs__shape"] = "[1, 64]"
    assert to_payload(post(**cells))["framework_config"]["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [1, 64]}
    ]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, None),
        ({"enabled": "off", "preferred_batch_size": "4"}, {"enabled": False}),
        ({"enabled": "on"}, {"enabled": True}),
        ({"preferred_batch_size": "4, 8"}, {"enabled": True, "preferred_batch_size": [4, 8]}),
        (
            {"enabled": "on", "max_queue_delay_microseconds": "50"},
            {"enabled": True, "max_queue_delay_microseconds": 50},
        ),
    ],
)
def test_dynamic_batching_is_sent_only_when_it_was_chosen(sent: dict[str, str], expected: Any) -> None:
    prefix = "framework_config__dynamic_batching__"
    payload = to_payload(post(**{f"{prefix}{key}": value for key, value in sent.items()}))
    assert payload["framework_config"].get("dynamic_batching") == expected


def test_every_message_of_the_parser_lands_at_a_field() -> None:
    sent = post(
        **{
            "framework": "",
            "queue": "",
            "dataset": "",
            "model_path": "../x",
            "resources__cpu": "many",
            "resources__gpu": "1.5",
            "auth__policy": "none",
            "auth__header": "host",
            "auth__parameters__name": ["", "x_bad", "x-good"],
            "auth__parameters__value": ["", "1", ""],
            "cors__allowed_origins": "https://app.example, app.example",
            "limits__max_payload_mib": "0",
            "limits__timeout_seconds": "soon",
            "limits__concurrency": "1.5",
            "limits__stall_seconds": "-1",
            "framework_config__instances": "0",
            "framework_config__dynamic_batching__preferred_batch_size": "4, x",
            "framework_config__inputs__name": "x",
            "framework_config__inputs__datatype": "FP33",
            "framework_config__inputs__shape": "a",
            "affinity__required__key": ["", "zone"],
            "affinity__required__operator": ["In", "In"],
            "affinity__required__values": ["", ""],
            "affinity__preferred__weight": "900",
            "affinity__preferred__key": "cpu",
            "affinity__preferred__operator": "Gt",
            "affinity__preferred__values": "x",
            "env__name": ["1BAD", ""],
            "env__value": ["", "value without a name"],
        }
    )
    form = from_post(sent)
    for framework in ("triton", ""):
        with pytest.raises(InvalidFields) as caught:
            parse_spec({**to_payload(sent), "framework": framework})
        form.add_errors(caught.value.errors)
    assert form.others == []
    assert {"framework", "queue", "dataset", "model_path", "resources.cpu", "resources.gpu", "auth.policy"} | {
        "auth.header",
        "limits.max_payload_mib",
        "limits.timeout_seconds",
        "limits.concurrency",
        "limits.stall_seconds",
        "cors.allowed_origins",
    } <= {field.name for field in form.wrong}
    for name in ("affinity_required", "affinity_preferred", "auth_parameters", "env", "framework_config_inputs"):
        assert all(row.all_errors for row in form.rows[name]), name
    assert form.fields["framework_config_dynamic_batching_preferred_batch_size"].errors
    assert form.fields["framework_config_instances"].errors


def test_what_only_an_administrator_may_ask_for_is_said_at_its_switch() -> None:
    form = blank().add_errors(
        {"framework_config": ["Only an administrator may."], "framework_config.other": ["Unknown."]}
    )
    assert form.fields["framework_config_trust_remote_code"].errors == ["Only an administrator may."]
    assert form.others == ["framework_config.other: Unknown."]


def test_what_belongs_to_no_field_is_still_said() -> None:
    form = blank().add_errors({"nothing.like.this": ["Is wrong."], "resources": ["Queue default is too small."]})
    assert form.others == ["nothing.like.this: Is wrong."]
    assert form.fields["queue"].errors == ["Queue default is too small."]
    assert form.has_errors and not blank().has_errors


def test_an_error_of_a_whole_list_is_shown_with_the_list() -> None:
    form = blank().add_errors({"framework_config.outputs": ["'y' is there more than once."]})
    assert form.list_errors == {"framework_config_outputs": ["'y' is there more than once."]}


@settings(deadline=None)  # how long it takes is not what this is about, and machines are busy
@given(
    st.sampled_from(sorted(FRAMEWORKS)),
    st.dictionaries(
        st.sampled_from(sorted([*(f"{n}.{c}" for n in COLUMNS for c in COLUMNS[n]), *(set(DEFAULTS) - {"framework"})])),
        st.lists(st.text(max_size=8), max_size=3),
    ),
)
def test_nothing_that_can_be_sent_breaks_the_form(framework: str, sent: dict[str, list[str]]) -> None:
    data = QueryDict(mutable=True)
    data["framework"] = framework
    for name, values in sent.items():
        data.setlist(name, values)
    payload = to_payload(data)
    try:
        parse_spec(payload)
    except InvalidFields as error:
        assert from_post(data).add_errors(error.errors).has_errors


@pytest.mark.parametrize(("text", "value"), [("2", 2), (" 0.5 ", 0.5), ("-1", -1), ("x", "x"), ("", "")])
def test_numbers_are_read_as_typed(text: str, value: Any) -> None:
    assert number(text) == value
