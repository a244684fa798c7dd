"""Settings that have bounds, or a form."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from console import env


@pytest.mark.parametrize("value", ["0", "1025", "-1"])
def test_a_number_outside_its_bounds_is_named_with_them(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_PAYLOAD_MIB", value)
    with pytest.raises(env.BadSetting, match=f"MAX_PAYLOAD_MIB must be between 1 and 1024, not {value}"):
        env.bounded("MAX_PAYLOAD_MIB", 16, 1, 1024)


def test_a_number_on_its_bounds_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_PAYLOAD_MIB", "1024")
    assert env.bounded("MAX_PAYLOAD_MIB", 16, 1, 1024) == 1024


def test_keys_are_taken_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    monkeypatch.setenv("CONSOLE_SECRETS_KEY", f"{keys[0]} , {keys[1]}")
    assert env.fernet_keys("CONSOLE_SECRETS_KEY") == keys


@pytest.mark.parametrize("bad", ["hunter2", "x" * 44, "ß", "A" * 43])
def test_a_key_that_is_none_is_named_by_its_place_and_not_shown(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSOLE_SECRETS_KEY", f"{Fernet.generate_key().decode()},{bad}")
    with pytest.raises(env.BadSetting, match=r"Key 2 of CONSOLE_SECRETS_KEY.*openssl rand") as caught:
        env.fernet_keys("CONSOLE_SECRETS_KEY")
    assert bad not in str(caught.value)
