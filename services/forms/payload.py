"""A submitted form -> the JSON that the REST API would have been sent. Rows without any text are left out."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict

from services.forms.names import COLUMNS, DEFAULTS, ENV, FRAMEWORKS, HEADERS, LIMITS, ORIGINS, PRESET, RULES
from services.forms.state import ServiceForm, make_form
from services.forms.typed import CONFIG, Row, number, short, split


def from_post(post: QueryDict) -> ServiceForm:
    """What was sent, to be shown again; without what the page itself had filled in from the model's files."""
    values = {name: post.get(name, default) for name, default in DEFAULTS.items()}
    values |= {name: "" for name in values if post.get(f"{name}.read") == values[name]}
    return make_form(values, {name: rows(post, name) for name in COLUMNS})


def rows(post: QueryDict, name: str) -> list[Row]:
    columns = COLUMNS[name]
    cells = [post.getlist(f"{name}.{column}") for column in columns]
    found = [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=False)]
    return [row for row in found if any(text.strip() for column, text in row.items() if column not in PRESET)]


def to_payload(post: QueryDict) -> dict[str, Any]:
    """Text that should be a number and is not stays text: the parser says so. An empty limit is none of its own."""

    def text(name: str) -> str:
        return str(post.get(name, DEFAULTS[name])).strip()

    fields = FRAMEWORKS.get(text("framework"), FRAMEWORKS["triton"])
    return {
        **{name: text(name) for name in ("name", "framework", "queue", "dataset")},
        "model_path": str(post.get("model_path", "")),  # folders may have blanks at the ends of their names
        "replicas": number(text("replicas")),
        "resources": {
            **{part: number(text(f"resources.{part}")) for part in ("cpu", "memory_gib", "gpu")},
            "gpu_type": text("resources.gpu_type"),
        },
        "auth": {
            "policy": text("auth.policy"),
            "header": text("auth.header"),
            "parameters": [{key: value.strip() for key, value in row.items()} for row in rows(post, HEADERS)],
        },
        "cors": {"allowed_origins": split(text(ORIGINS))},
        "limits": {name: number(text(f"limits.{name}")) if text(f"limits.{name}") else None for name in LIMITS},
        "affinity": {short(name): [_rule(row) for row in rows(post, name)] for name in RULES},
        CONFIG: fields.to_config(post, lambda name: rows(post, name)),
        "env": {row["name"].strip(): row["value"] for row in rows(post, ENV)},
    }


def _rule(row: Row) -> dict[str, Any]:
    rule: dict[str, Any] = {"key": row["key"].strip(), "operator": row["operator"], "values": split(row["values"])}
    return {"weight": number(row["weight"]), **rule} if "weight" in row else rule
