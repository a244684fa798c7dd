"""A submitted form -> the JSON that the REST API would have been sent. Rows without any text are left out."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict

from services.forms.inputs import FIELDS, LISTS, Input, nested
from services.forms.names import COLUMNS, DEFAULTS, FRAMEWORKS, PRESET
from services.forms.state import ServiceForm, make_form
from services.forms.typed import CONFIG, Row, number


def from_post(post: QueryDict) -> ServiceForm:
    """What was sent, to be shown again; without what the page itself had filled in from the model's files."""
    values = {name: post.get(name, default) for name, default in DEFAULTS.items()}
    values |= {name: "" for name in values if post.get(f"{name}.read") == values[name]}
    return make_form(values, {name: rows(post, name) for name in COLUMNS})


def rows(post: QueryDict, name: str) -> list[Row]:
    columns = COLUMNS[name]
    cells = [post.getlist(f"{name}.{column}") for column in columns]
    all_rows = [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=False)]
    return [row for row in all_rows if any(text.strip() for column, text in row.items() if column not in PRESET)]


def to_payload(post: QueryDict) -> dict[str, Any]:
    """Text that should be a number and is not stays text: the parser says so."""

    def text(name: str) -> str:
        return str(post.get(name, DEFAULTS[name]))

    framework = FRAMEWORKS.get(text("framework").strip(), FRAMEWORKS["triton"])
    return {
        "name": text("name").strip(),
        "replicas": number(text("replicas")),
        **nested(
            {each.name: each.read(text(each.name)) for each in FIELDS}
            | {each.name: _rows(each, rows(post, each.name)) for each in LISTS}
        ),
        CONFIG: framework.to_config(post, lambda name: rows(post, name)),
    }


def _rows(each: Input, sent: list[Row]) -> list[dict[str, Any]] | dict[str, Any]:
    read = [{column.name: column.read(row[column.name]) for column in each.columns} for row in sent]
    return {row["name"]: row["value"] for row in read} if each.is_object else read
