from __future__ import annotations

import pytest

from datasets.sources.huggingface.tree import Place

COMMIT = "0123456789abcdef0123456789abcdef01234567"


PLACES = [Place(COMMIT), Place(COMMIT, 200), Place(COMMIT, 7, "ZXlK:x=="), Place(COMMIT, 0, "a")]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_place_survives_being_written_down(place: Place) -> None:
    assert Place.parse(str(place)) == place


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
def test_what_is_no_place_is_not_taken_for_one(text: str) -> None:
    assert Place.parse(text) is None
