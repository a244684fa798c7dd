"""What changed between two revisions."""

from __future__ import annotations

from typing import Any

import pytest

from services.queries.diffs import Change, changes

OLD: dict[str, Any] = {"queue": "default", "resources": {"cpu": 1.0, "gpu": 0}, "env": {}, "affinity": {"required": []}}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({}, []),
        ({"queue": "small"}, [Change("queue", "default", "small")]),
        ({"resources": {"cpu": 2.0, "gpu": 0}}, [Change("resources.cpu", "1.0", "2.0")]),
        ({"env": {"LOG": ""}}, [Change("env.LOG", "", '""')]),
        ({"affinity": {"required": [{"key": "a"}]}}, [Change("affinity.required", "[]", '[{"key": "a"}]')]),
    ],
)
def test_each_changed_field_is_named_with_both_values(new: dict[str, Any], expected: list[Change]) -> None:
    assert changes(OLD, OLD | new) == expected


def test_what_was_taken_away_has_no_new_value() -> None:
    assert changes({"env": {"A": "x"}}, {"env": {}}) == [Change("env.A", "x", "")]
