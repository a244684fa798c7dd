"""Settings that have bounds, or a form."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from console import env


@pytest.mark.parametrize("value", ["0", "1025", "-1", "16MiB", "16.5", "1_6", "0x10", "\uff11\uff16", "9" * 30])
def test_a_number_outside_its_bounds_is_named_with_them(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_PAYLOAD_MIB", value)
    with pytest.raises(env.BadSetting, match=f"MAX_PAYLOAD_MIB must be a whole number from 1 to 1024, not '{value}'"):
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


@pytest.mark.parametrize("value", ["", "  ", "\r\n", "32", " 32\r", "+32"])
def test_an_empty_number_is_the_default_and_blanks_around_one_do_not_count(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_PAYLOAD_MIB", value)
    assert env.bounded("MAX_PAYLOAD_MIB", 16, 1, 1024) == (32 if "32" in value else 16)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_value_comes_from_a_file_written_on_windows(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes("schlüssel\r\n".encode(encoding))
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "secret"))
    assert env.text("SECRET_KEY") == "schlüssel"


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\xff\x00\xfe", "is not text")])
def test_a_file_that_cannot_be_read_is_named(
    content: bytes | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "secret"))
    with pytest.raises(env.BadSetting, match=rf"SECRET_KEY_FILE names {tmp_path}/secret, which .*{reason}"):
        env.text("SECRET_KEY")


def test_a_variable_that_nothing_reads_is_named_with_the_one_that_was_meant() -> None:
    setting_names = {"DATASET_ENDPOINTS", "DATASET_ROOTS", "CONSOLE_PORT", "MAX_PAYLOAD_MIB", "ALLOWED_HOSTS"}
    assert env.unknown(
        ["DATASET_ENDPOINT", "DATASET_WHATEVER", "MAX_PAYLOAD_MB", "ALLOWED_HOST_FILE"], setting_names
    ) == [
        "The environment variable ALLOWED_HOST_FILE is not a setting of the console. Did you mean ALLOWED_HOSTS?",
        "The environment variable DATASET_ENDPOINT is not a setting of the console. Did you mean DATASET_ENDPOINTS?",
        "The environment variable DATASET_WHATEVER is not a setting of the console.",
        "The environment variable MAX_PAYLOAD_MB is not a setting of the console. Did you mean MAX_PAYLOAD_MIB?",
    ]


def test_what_is_read_and_what_others_set_is_not_named() -> None:
    others = [
        "PATH",
        "HOME",
        "LANG",
        "SSL_CERT_FILE",
        "PORT",
        "HOSTS",
        "TEAM",
        "DATABASE_URL",
        "HTTP_PROXY",
        "PYTHONPATH",
        "GATEWAY_SERVICE_HOST",
        "CONSOLE_PORT_8000_TCP_ADDR",
        "GATEWAY_SERVICE_PORT_HTTP",
        "DATASET_ROOTS_FILE",
        "AWS_ENDPOINT_URL",
        "NODE_EXTRA_CA_CERTS",
        "POSTGRES_PASSWORD",
        "REDIS_HOST",
        "TZ",
        "DEBUGINFOD_URLS",
    ]
    assert env.unknown(others, {"DATASET_ROOTS", "DATABASE_URL", "TIME_ZONE", "DEBUG", "REDIS_URL", "NODE_NAME"}) == []
