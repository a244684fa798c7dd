"""What a bench leaves in the documentation."""

from __future__ import annotations

import pytest

from bench.report import MARKS, into_page
from console.home import CHECKOUT


def test_the_tables_replace_those_of_before() -> None:
    page = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter"
    made = into_page(into_page(page, ["first"]), ["a table", "a verdict"])
    assert made == f"before\n{MARKS[0]}\n\na table\n\na verdict\n\n{MARKS[1]}\nafter"


def test_a_page_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="bench"):
        into_page("no marks", ["a table"])


def test_the_documentation_has_the_marks() -> None:
    assert into_page((CHECKOUT / "docs" / "performance.md").read_text(encoding="utf-8"), ["x"])
