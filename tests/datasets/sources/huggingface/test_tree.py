from __future__ import annotations

import pytest

from datasets.sources.huggingface.tree import PageStart

COMMIT = "0123456789abcdef0123456789abcdef01234567"


STARTS = [PageStart(COMMIT), PageStart(COMMIT, 200), PageStart(COMMIT, 7, "ZXlK:x=="), PageStart(COMMIT, 0, "a")]


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_the_start_of_a_page_survives_being_written_down(start: PageStart) -> None:
    assert PageStart.parse(str(start)) == start


@pytest.mark.parametrize(
    "text",
    [
        "",
        "200",
        "x:1:",
        f"{COMMIT}",
        f"{COMMIT}:",
        f"{COMMIT}:-1:",
        f"{COMMIT}:²:",
        f"{COMMIT[:-1]}:1:",
        f"../../{COMMIT[6:]}:1:",
        f"{'é' * 40}:1:",
    ],
)
def test_what_is_no_start_is_not_taken_for_one(text: str) -> None:
    assert PageStart.parse(text) is None
