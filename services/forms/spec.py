"""An empty form, and the form of a service that there is already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.forms.inputs import FIELDS, LISTS, Input, shown, within
from services.forms.names import COLUMNS, DEFAULTS, FRAMEWORKS
from services.forms.state import ServiceForm, make_form
from services.forms.typed import CONFIG, Row


def blank(**values: str) -> ServiceForm:
    """A new service's form; `values` by field name with `_` for `.`."""
    form = make_form(DEFAULTS, dict.fromkeys(COLUMNS, ()))
    for name, value in values.items():
        form.fields[name].value = value
    return form


def from_spec(name: str, team: str, replicas: int, spec: Mapping[str, Any]) -> ServiceForm:
    """`spec`: a revision's JSON, as ServiceSpec.to_json makes it."""
    framework = FRAMEWORKS[spec["framework"]]
    values = {
        **DEFAULTS,
        "name": name,
        "team": team,
        "replicas": str(replicas),
        **{each.name: shown(within(spec, each.name)) for each in FIELDS},
        **framework.values(spec[CONFIG]),
    }
    rows = {each.name: _rows(each, within(spec, each.name)) for each in LISTS}
    return make_form(values, {**dict.fromkeys(COLUMNS, ()), **rows, **framework.rows_of(spec[CONFIG])})


def _rows(each: Input, value: Any) -> list[Row]:
    if each.is_object:
        return [{"name": key, "value": text} for key, text in value.items()]
    return [{column.name: shown(row[column.name]) for column in each.columns} for row in value]
