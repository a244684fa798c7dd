"""Which inputs the form has. A list (rules, variables, tensors) is one input name per column, repeated once per row.

What belongs to one framework only is in that framework's module here. Of the fields of the others, which a page
without JavaScript sends along, nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from django.http import QueryDict

from services.forms import triton, vllm
from services.forms.typed import Row
from services.forms.typed import number as number
from services.specs import ServiceLimits

LIMITS: Final = tuple(field.name for field in fields(ServiceLimits))


@dataclass(frozen=True)
class FrameworkFields:
    """How the form and `framework_config` of one framework become each other."""

    to_config: Callable[[QueryDict, Callable[[str], Sequence[Row]]], dict[str, Any]]
    values: Callable[[Mapping[str, Any]], dict[str, str]]
    rows_of: Callable[[Mapping[str, Any]], dict[str, list[Row]]]


FRAMEWORKS: Final = {
    "triton": FrameworkFields(triton.to_config, triton.values, triton.rows_of),
    "vllm": FrameworkFields(vllm.to_config, vllm.values, vllm.rows_of),
}

ORIGINS: Final = "cors.allowed_origins"
DEFAULTS: Final = {
    "name": "",
    "team": "",
    "framework": "triton",
    "queue": "default",
    "dataset": "",
    "model_path": "",
    "replicas": "1",
    "resources.cpu": "1",
    "resources.memory_gib": "1",
    "resources.gpu": "0",
    "resources.gpu_type": "",
    "auth.policy": "api_key",
    "auth.header": "",
    ORIGINS: "",
    **{f"limits.{name}": "" for name in LIMITS},
    **triton.DEFAULTS,
    **vllm.DEFAULTS,
}
RULES: Final = ("affinity.required", "affinity.preferred")
HEADERS: Final = "auth.parameters"
ENV: Final = "env"
COLUMNS: Final = {
    "affinity.required": ("key", "operator", "values"),
    "affinity.preferred": ("weight", "key", "operator", "values"),
    **triton.COLUMNS,
    **vllm.COLUMNS,
    HEADERS: ("name", "value"),
    ENV: ("name", "value"),
}
NAMED: Final = frozenset({ENV, triton.PARAMETERS})
"""Lists that are objects in the API: what is wrong there is said by name, and in other lists by number."""
PRESET: Final = {"operator": "In", "weight": "1", **triton.PRESET}
"""Columns that always hold something, so that they say nothing about whether a row was filled in."""

LABELS: Final = {
    "name": "Name",
    "team": "Team",
    "framework": "Framework",
    "queue": "Queue",
    "dataset": "Dataset",
    "model_path": "Model path",
    "replicas": "Replicas",
    "resources.cpu": "CPUs",
    "resources.memory_gib": "Memory, GiB",
    "resources.gpu": "GPUs",
    "resources.gpu_type": "GPU type",
    "auth.policy": "Who may call it",
    "auth.header": "Header for the key",
    HEADERS: "Required headers",
    ORIGINS: "Web pages that may call it",
    "limits.max_payload_mib": "Largest request, MiB",
    "limits.timeout_seconds": "Longest request, seconds",
    "limits.concurrency": "Requests at once",
    "limits.stall_seconds": "Stuck after, seconds",
    "affinity.required": "Required rules",
    "affinity.preferred": "Preferred rules",
    ENV: "Environment variables",
    **triton.LABELS,
    **vllm.LABELS,
}
"""What the page calls each field and list."""


def label(path: str) -> str:
    """`affinity.required.0.values` -> "Required rules"; a path that is not on the page stays as it is."""
    part = path
    while part:
        if part in LABELS:
            return LABELS[part]
        part = part.rpartition(".")[0]
    return path
