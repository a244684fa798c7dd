"""A submitted form -> the JSON that the REST API would have been sent. Rows without any text are left out."""

from __future__ import annotations

import json
from typing import Any

from django.http import QueryDict

from services.forms.names import (
    AS_MODEL,
    BATCHING,
    COLUMNS,
    CONFIG,
    DEFAULTS,
    ENV,
    OFF,
    PARAMETERS,
    PRESET,
    RULES,
    TENSORS,
    number,
    short,
    split,
)
from services.forms.state import ServiceForm, make_form

Row = dict[str, str]


def from_post(post: QueryDict) -> ServiceForm:
    """What was sent, to be shown again."""
    values = {name: post.get(name, default) for name, default in DEFAULTS.items()}
    return make_form(values, {name: rows(post, name) for name in COLUMNS})


def rows(post: QueryDict, name: str) -> list[Row]:
    columns = COLUMNS[name]
    cells = [post.getlist(f"{name}.{column}") for column in columns]
    found = [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=False)]
    return [row for row in found if any(text.strip() for column, text in row.items() if column not in PRESET)]


def to_payload(post: QueryDict) -> dict[str, Any]:
    """Text that should be a number and is not stays text: the parser says so."""

    def text(name: str) -> str:
        return str(post.get(name, DEFAULTS[name])).strip()

    return {
        **{name: text(name) for name in ("name", "framework", "queue", "dataset", "model_path")},
        "replicas": number(text("replicas")),
        "resources": {
            **{part: number(text(f"resources.{part}")) for part in ("cpu", "memory_gib", "gpu")},
            "gpu_type": text("resources.gpu_type"),
        },
        "auth": {"policy": text("auth.policy")},
        "affinity": {short(name): [_rule(row) for row in rows(post, name)] for name in RULES},
        CONFIG: _config(post),
        "env": {row["name"].strip(): row["value"] for row in rows(post, ENV)},
    }


def _config(post: QueryDict) -> dict[str, Any]:
    """Only what the person changed: what is left out stays as the model's own configuration has it."""
    config: dict[str, Any] = {}
    if backend := post.get(f"{CONFIG}.backend", "").strip():
        config["backend"] = backend
    for name in ("max_batch_size", "instances"):
        if text := post.get(f"{CONFIG}.{name}", "").strip():
            config[name] = number(text)
    if (batching := _batching(post)) is not None:
        config["dynamic_batching"] = batching
    for name in TENSORS:
        tensors = [_tensor(row) for row in rows(post, name)]
        if tensors and tensors != _read_from_model(post, name):
            config[short(name)] = tensors
    if parameters := {row["name"].strip(): row["value"] for row in rows(post, PARAMETERS)}:
        config["parameters"] = parameters
    return config


def _batching(post: QueryDict) -> dict[str, Any] | None:
    """None: as the model has it. Sizes or a delay without a choice mean that it is wanted."""
    enabled = post.get(f"{BATCHING}.enabled", AS_MODEL)
    if enabled == OFF:
        return {"enabled": False}
    made: dict[str, Any] = {}
    if sizes := split(post.get(f"{BATCHING}.preferred_batch_size", "")):
        made["preferred_batch_size"] = [number(size) for size in sizes]
    if delay := post.get(f"{BATCHING}.max_queue_delay_microseconds", "").strip():
        made["max_queue_delay_microseconds"] = number(delay)
    return {"enabled": True, **made} if made or enabled != AS_MODEL else None


def _read_from_model(post: QueryDict, name: str) -> Any:
    """The rows as they were read from the model's files: the page sends them along, to know what was changed."""
    try:
        return json.loads(post.get(f"{name}.read", "null"))
    except ValueError:
        return None


def _rule(row: Row) -> dict[str, Any]:
    rule: dict[str, Any] = {"key": row["key"].strip(), "operator": row["operator"], "values": split(row["values"])}
    return {"weight": number(row["weight"]), **rule} if "weight" in row else rule


def _tensor(row: Row) -> dict[str, Any]:
    shape = [number(size) for size in split(row["shape"].strip().strip("[]"))]
    return {"name": row["name"].strip(), "datatype": row["datatype"], "shape": shape}
