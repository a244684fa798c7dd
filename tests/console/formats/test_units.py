from __future__ import annotations

import pytest

from console.formats.units import duration_text, size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (250 << 20, "250 MiB"),
        (4 << 30, "4.0 GiB"),
        (3 << 50, "3072 TiB"),
    ],
)
def test_sizes_are_told_in_binary_units(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59.4, "59 s"), (75, "1 min 15 s"), (3600, "1 h 0 min"), (9000, "2 h 30 min")]
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
