"""Which inputs the form has. A list (rules, variables, tensors) is one input name per column, repeated once per row.

Most follow from ServiceSpec (inputs.py). What belongs to one framework only is in that framework's module. Of the
fields of the others, which a page without JavaScript sends along, nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.http import QueryDict

from services.forms import triton, vllm
from services.forms.inputs import FIELDS, INPUTS, LISTS
from services.forms.typed import Row
from services.forms.typed import number as number


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

DEFAULTS: Final = {
    "name": "",
    "team": "",
    "replicas": "1",
    **{each.name: each.default for each in FIELDS},
    "framework": "triton",
    **triton.DEFAULTS,
    **vllm.DEFAULTS,
}
COLUMNS: Final = {
    **{each.name: tuple(column.name for column in each.columns) for each in LISTS},
    **triton.COLUMNS,
    **vllm.COLUMNS,
}
# Lists that are objects in the API: what is wrong there is said by name, and in other lists by number.
NAMED: Final = frozenset({triton.PARAMETERS, *(each.name for each in LISTS if each.is_object)})
# Columns that always hold something, so that they say nothing about whether a row was filled in.
PRESET: Final = {"operator": "In", "weight": "1", **triton.PRESET}
# What the page calls each field and list.
LABELS: Final = {
    "name": "Name",
    "team": "Team",
    "replicas": "Replicas",
    **{each.name: each.title for each in INPUTS},
    **triton.LABELS,
    **vllm.LABELS,
}


def label(path: str) -> str:
    """`affinity.required.0.values` -> "Required rules"; a path that is not on the page stays as it is."""
    part = path
    while part:
        if part in LABELS:
            return LABELS[part]
        part = part.rpartition(".")[0]
    return path
