"""Settings that have bounds."""

from __future__ import annotations

import pytest

from console import env


@pytest.mark.parametrize("value", ["0", "1025", "-1"])
def test_a_number_outside_its_bounds_is_named_with_them(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_PAYLOAD_MIB", value)
    with pytest.raises(env.BadSetting, match=f"MAX_PAYLOAD_MIB must be between 1 and 1024, not {value}"):
        env.bounded("MAX_PAYLOAD_MIB", 16, 1, 1024)


def test_a_number_on_its_bounds_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_PAYLOAD_MIB", "1024")
    assert env.bounded("MAX_PAYLOAD_MIB", 16, 1, 1024) == 1024
