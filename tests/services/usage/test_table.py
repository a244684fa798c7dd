"""CSV that a spreadsheet takes for what it is."""

from __future__ import annotations

import csv
import io

import pytest

from services.usage import table
from services.usage.measured import Measured, Point


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
def test_no_name_becomes_a_formula(name: str) -> None:
    text = "".join(table.lines("key", [Point("abc", name, None, Measured())]))
    cells = list(csv.reader(io.StringIO(text, newline="")))[1]
    assert cells[1] == f"'{name}" and cells[1][0] == "'"


def test_a_name_may_hold_anything_else(db: None) -> None:
    odd = 'a "quoted", name\nover two lines'
    text = "".join(table.lines("key", [Point("k", odd, None, Measured(5, 1))]))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["name"] == odd and row["p50_ms"] == ""
    assert (row["requests"], row["succeeded"], row["client_errors"]) == ("5", "4", "1")
