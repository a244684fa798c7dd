"""An empty form, and the form of a service that there is already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.forms.names import COLUMNS, DEFAULTS, ENV, FRAMEWORKS, HEADERS, ORIGINS, RULES
from services.forms.state import ServiceForm, make_form
from services.forms.typed import CONFIG, Row, join, plain, short


def blank(**values: str) -> ServiceForm:
    """A new service's form; `values` by field name with `_` for `.`."""
    form = make_form(DEFAULTS, dict.fromkeys(COLUMNS, ()))
    for name, value in values.items():
        form.fields[name].value = value
    return form


def from_spec(name: str, team: str, replicas: int, spec: Mapping[str, Any]) -> ServiceForm:
    """`spec`: a revision's JSON, as ServiceSpec.to_json makes it."""
    fields = FRAMEWORKS[spec["framework"]]
    values = {
        **DEFAULTS,
        "name": name,
        "team": team,
        "replicas": str(replicas),
        "auth.policy": spec["auth"]["policy"],
        "auth.header": spec["auth"]["header"],
        ORIGINS: join(spec["cors"]["allowed_origins"]),
        **{part: spec[part] for part in ("framework", "queue", "dataset", "model_path")},
        **{f"resources.{part}": plain(value) for part, value in spec["resources"].items()},
        **{f"limits.{part}": plain(value) for part, value in spec["limits"].items()},
        **fields.values(spec[CONFIG]),
    }
    return make_form(values, {**dict.fromkeys(COLUMNS, ()), **_rows(spec), **fields.rows_of(spec[CONFIG])})


def _rows(spec: Mapping[str, Any]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {name: [_rule(rule) for rule in spec["affinity"][short(name)]] for name in RULES}
    rows[HEADERS] = list(spec["auth"]["parameters"])
    rows[ENV] = [{"name": key, "value": value} for key, value in spec["env"].items()]
    return rows


def _rule(rule: Mapping[str, Any]) -> Row:
    return {**{key: plain(value) for key, value in rule.items()}, "values": join(rule["values"])}
