"""What a bench leaves in the documentation."""

from __future__ import annotations

import pytest

from bench.report import MARKS, into_page
from console.home import CHECKOUT


def test_the_tables_replace_those_of_before() -> None:
    page = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter"
    new_page = into_page(into_page(page, ["first"]), ["a table", "a verdict"])
    assert new_page == f"before\n{MARKS[0]}\n\na table\n\na verdict\n\n{MARKS[1]}\nafter"


def test_a_page_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="bench"):
        into_page("no marks", ["a table"])


def test_the_documentation_has_the_marks() -> None:
    assert into_page((CHECKOUT / "docs" / "performance.md").read_text(encoding="utf-8"), ["x"])


def test_prose_is_wrapped_and_rows_of_tables_are_not() -> None:
    row, verdict = f"| {'a cell ' * 30}|", f"- {'a word ' * 30}"
    lines = into_page("\n".join(MARKS), [f"{row}\n\n{verdict}"]).splitlines()
    assert row in lines and sum(len(line) >= 120 for line in lines) == 1
    assert [line for line in lines if "word" in line][1].startswith("  ")
