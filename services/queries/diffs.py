"""What changed between two revisions of a service, as a person reads it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One field of the spec, by its dotted path. `old` is "" for what was added, `new` for what was removed."""

    path: str
    old: str
    new: str


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Field by field, sorted by path. Lists are compared as a whole: a moved rule is a changed list."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    paths = sorted(before.keys() | after.keys())
    return [
        Change(path, _say(before.get(path, ABSENT)), _say(after.get(path, ABSENT)))
        for path in paths
        if before.get(path, ABSENT) != after.get(path, ABSENT)
    ]


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(inner, Mapping):
            yield from _leaves(inner, here)
        else:
            yield here, inner


def _say(value: Any) -> str:
    if value is ABSENT:
        return ""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
