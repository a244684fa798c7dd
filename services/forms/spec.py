"""An empty form, and the form of a service that there is already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.forms.names import (
    BATCHING,
    COLUMNS,
    CONFIG,
    DEFAULTS,
    ENV,
    OFF,
    ON,
    PARAMETERS,
    RULES,
    TENSORS,
    join,
    plain,
    short,
)
from services.forms.state import Row, ServiceForm, make_form

SIMPLE: Final = ("backend", "max_batch_size", "instances")


def blank(**values: str) -> ServiceForm:
    """A new service's form; `values` by field name with `_` for `.`."""
    form = make_form(DEFAULTS, dict.fromkeys(COLUMNS, ()))
    for name, value in values.items():
        form.fields[name].value = value
    return form


def from_spec(name: str, team: str, replicas: int, spec: Mapping[str, Any]) -> ServiceForm:
    """`spec`: a revision's JSON."""
    config = spec[CONFIG]
    values = {
        **DEFAULTS, "name": name, "team": team, "replicas": str(replicas), "auth.policy": spec["auth"]["policy"],
        **{part: spec[part] for part in ("framework", "queue", "dataset", "model_path")},
        **{f"resources.{part}": plain(value) for part, value in spec["resources"].items()},
        **{f"{CONFIG}.{part}": plain(config[part]) for part in SIMPLE if part in config},
    }
    if (batching := config.get("dynamic_batching")) is not None:
        values[f"{BATCHING}.enabled"] = ON if batching["enabled"] else OFF
        values[f"{BATCHING}.preferred_batch_size"] = join(batching.get("preferred_batch_size", ()))
        values[f"{BATCHING}.max_queue_delay_microseconds"] = plain(batching.get("max_queue_delay_microseconds", ""))
    return make_form(values, _rows(spec))


def _rows(spec: Mapping[str, Any]) -> dict[str, list[Row]]:
    config = spec[CONFIG]
    rows: dict[str, list[Row]] = {name: [_rule(rule) for rule in spec["affinity"][short(name)]] for name in RULES}
    rows |= {name: tensor_rows(config.get(short(name), ())) for name in TENSORS}
    for name, pairs in ((ENV, spec.get("env", {})), (PARAMETERS, config.get("parameters", {}))):
        rows[name] = [{"name": key, "value": value} for key, value in pairs.items()]
    return rows


def _rule(rule: Mapping[str, Any]) -> Row:
    return {**{key: plain(value) for key, value in rule.items()}, "values": join(rule["values"])}


def tensor_rows(tensors: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [{"name": t["name"], "datatype": t["datatype"], "shape": join(t["shape"])} for t in tensors]
