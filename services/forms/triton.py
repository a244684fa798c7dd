"""The fields of a Triton service: what is filled in is laid over the model's own config.pbtxt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.http import QueryDict

from services.forms.inputs import labels_of, types_of
from services.forms.typed import CONFIG, Row, join, number, plain, short, split
from services.frameworks.triton.options import Batching, Options

BATCHING: Final = f"{CONFIG}.dynamic_batching"
AS_MODEL, ON, OFF = "", "on", "off"
"""Dynamic batching: as the model's own configuration has it, or said here."""
BATCHING_OPTIONS: Final = [(AS_MODEL, "As the model has it"), (ON, "On"), (OFF, "Off")]

MODEL: Final = f"{CONFIG}.model"
SIMPLE: Final = {name: kind for name, kind in types_of(Options).items() if kind in (str, int)}
DEFAULTS: Final = {
    **{f"{CONFIG}.{name}": "" for name in SIMPLE},
    **{f"{BATCHING}.{name}": "" for name in types_of(Batching)},
}
TENSORS: Final = (f"{CONFIG}.inputs", f"{CONFIG}.outputs")
PARAMETERS: Final = f"{CONFIG}.parameters"
COLUMNS: Final = {**dict.fromkeys(TENSORS, ("name", "datatype", "shape")), PARAMETERS: ("name", "value")}
PRESET: Final = {"datatype": "FP32"}
LABELS: Final = {**labels_of(Options, CONFIG), **labels_of(Batching, BATCHING)}


def to_config(post: QueryDict, rows: Callable[[str], Sequence[Row]]) -> dict[str, Any]:
    """Only what the person changed: what is left out stays as the model's own configuration has it."""
    config: dict[str, Any] = {}
    for name, kind in SIMPLE.items():
        if text := post.get(f"{CONFIG}.{name}", "").strip():
            config[name] = text if kind is str else number(text)
    if (batching := _batching(post)) is not None:
        config["dynamic_batching"] = batching
    for name in TENSORS:
        tensors = [_tensor(row) for row in rows(name)]
        if tensors and tensors != _read_from_model(post, name):
            config[short(name)] = tensors
    if parameters := {row["name"].strip(): row["value"] for row in rows(PARAMETERS)}:
        config["parameters"] = parameters
    return config


def _batching(post: QueryDict) -> dict[str, Any] | None:
    """None: as the model has it. Sizes or a delay without a choice mean that it is wanted."""
    enabled = post.get(f"{BATCHING}.enabled", AS_MODEL)
    if enabled == OFF:
        return {"enabled": False}
    options: dict[str, Any] = {}
    if sizes := split(post.get(f"{BATCHING}.preferred_batch_size", "")):
        options["preferred_batch_size"] = [number(size) for size in sizes]
    if delay := post.get(f"{BATCHING}.max_queue_delay_microseconds", "").strip():
        options["max_queue_delay_microseconds"] = number(delay)
    return {"enabled": True, **options} if options or enabled != AS_MODEL else None


def _read_from_model(post: QueryDict, name: str) -> Any:
    """The rows as they were read from the model's files: the page sends them along, to know what was changed."""
    try:
        return json.loads(post.get(f"{name}.read", "null"))
    except ValueError:
        return None


def _tensor(row: Row) -> dict[str, Any]:
    shape = [number(size) for size in split(row["shape"].strip().strip("[]"))]
    return {"name": row["name"].strip(), "datatype": row["datatype"], "shape": shape}


def values(config: Mapping[str, Any]) -> dict[str, str]:
    """The fields as the page shows them, of a revision's configuration."""
    shown = {f"{CONFIG}.{part}": plain(config[part]) for part in SIMPLE if part in config}
    if (batching := config.get("dynamic_batching")) is not None:
        shown[f"{BATCHING}.enabled"] = ON if batching["enabled"] else OFF
        shown[f"{BATCHING}.preferred_batch_size"] = join(batching.get("preferred_batch_size", ()))
        shown[f"{BATCHING}.max_queue_delay_microseconds"] = plain(batching.get("max_queue_delay_microseconds", ""))
    return shown


def rows_of(config: Mapping[str, Any]) -> dict[str, list[Row]]:
    parameters: list[Row] = [{"name": key, "value": text} for key, text in config.get("parameters", {}).items()]
    return {**{name: tensor_rows(config.get(short(name), ())) for name in TENSORS}, PARAMETERS: parameters}


def tensor_rows(tensors: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [{"name": t["name"], "datatype": t["datatype"], "shape": join(t["shape"])} for t in tensors]
