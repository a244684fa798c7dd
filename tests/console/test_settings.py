"""Every setting that can be wrong stops the start with its name, what is wrong, and an example."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from console.env import BadSetting
from console.home import CHECKOUT

SETTINGS = str(CHECKOUT / "console" / "settings.py")
POSTGRES = "postgres://user:hunter2@"


def load(monkeypatch: pytest.MonkeyPatch, **values: str) -> dict[str, Any]:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(SETTINGS)


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("CONSOLE_BIND", "localhost", "must be an IP address of this machine, not 'localhost'"),
        ("CONSOLE_BIND", "0.0.0.0:8000", "must be an IP address"),
        ("CONSOLE_PORT", "tcp://10.0.0.1:8000", "as Kubernetes sets it"),
        ("CONSOLE_PORT", "80000", "must be a whole number from 1 to 65535, not '80000'"),
        ("GATEWAY_PORT", "8000", "are both 8000"),
        ("REPLICA_SANDBOX", "yes", "must be one of auto, require, off, not 'yes'"),
        ("TRUSTED_PROXIES", "10.0.0.1,proxy.local", "not 'proxy.local'"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "not '10.0.0.0/33'"),
        ("NODE_NAME", "rack 1/node 2", "not 'rack 1/node 2'"),
        ("GATEWAY_DOMAIN", "https://models.example.com", "must be a domain"),
        ("GATEWAY_DOMAIN", "*.example.com", "must be a domain"),
        ("GATEWAY_WORKERS", "four", "must be a whole number from 0 to 256, not 'four'"),
        ("METERING_KEEP_DAYS", "-1", "must be a whole number from 1 to 3650"),
        ("STORE_QUOTA_GIB", "100GB", "not '100GB'"),
        ("DATASET_ROOTS", "/srv,models", "must hold absolute paths, separated by commas, not 'models'"),
        ("DATASET_ROOTS", "/srv/models:/mnt/nas", "separated by a colon"),
        ("DATASET_ROOTS", "~/models", "must hold absolute paths"),
        ("DATASET_ENDPOINTS", "https://huggingface.co", "has no scheme"),
        ("DATASET_ENDPOINTS", "10.1.2.3/16", r"write 10\.1\.0\.0/16"),
        ("DATASET_ENDPOINTS", "10.1", r"reads as the address 10\.0\.0\.1"),
        ("DATASET_ENDPOINTS", "169.254.169.254", "nothing may connect to it, because its address is link-local"),
        ("DATASET_ENDPOINTS", "a.example b.example", "separate entries by commas"),
        ("DATASET_ENDPOINTS", "models.example:70000", "70000 is no port"),
        ("DATASET_ENDPOINTS", "models.example:s3", "what follows the colon is no port"),
        ("DATASET_ENDPOINTS", "*", "would be every server"),
        ("ALLOWED_HOSTS", "https://console.example.com", "not 'https://console.example.com'"),
        ("ALLOWED_HOSTS", "console.example.com:8000", "without scheme, port and path"),
        ("ALLOWED_HOSTS", "fd00::1", "in brackets"),
        ("CSRF_TRUSTED_ORIGINS", "console.example.com", "not 'console.example.com'"),
        ("CSRF_TRUSTED_ORIGINS", "https://console.example.com/", "without a path"),
        ("DATABASE_URL", "mysql://host/name", "must start with postgres://, not mysql://"),
        ("DATABASE_URL", "host/name", "and it has no scheme"),
        ("DATABASE_URL", "localhost:5432/name", "and it has no scheme"),
        ("DATABASE_URL", f"{POSTGRES}host:54x2/name", "cannot be read as a URL"),
        ("DATABASE_URL", "postgres://user:hun#ter2@host/name", "cannot be read as a URL"),
        ("DATABASE_URL", f"{POSTGRES}host:5432", "names no database"),
        ("REDIS_URL", "host:6379", "and it has no scheme"),
        ("REDIS_URL", "http://host:6379", "must start with redis://, not http://"),
        ("REDIS_URL", "redis://host:99999", "cannot be read as a URL"),
        ("CONSOLE_HTTPS", "ja", "must be true or false, not 'ja'"),
        ("CONSOLE_HTTPS", "true", "needs TRUSTED_PROXIES: only a proxy named there"),
        ("DEBUG", "2", "must be true or false, not '2'"),
        ("TIME_ZONE", "CEST", "must be a time zone of the IANA database, not 'CEST'"),
        ("TIME_ZONE", "../etc/passwd", "must be a time zone"),
        ("LOG_LEVEL", "verbose", "must be one of DEBUG, INFO"),
    ],
)
def test_a_value_that_cannot_be_stops_the_start(
    name: str, value: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadSetting, match=wrong) as caught:
        load(monkeypatch, **{name: value})
    assert name in caught.value.message and caught.value.hint
    assert "hunter2" not in str(caught.value)


def test_good_values_are_taken_with_blanks_and_the_line_ends_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    values = load(
        monkeypatch,
        CONSOLE_BIND="::\r",
        CONSOLE_PORT=" 9000\r\n",
        DATASET_ROOTS="/srv/models , /mnt/nas\r",
        DATASET_ENDPOINTS="Models.Example.com, *.example.org:9000,[fd01::1]:9000,10.1.0.0/16,::ffff:10.0.0.1,\r",
        ALLOWED_HOSTS="*,.example.com,[fd00::1],10.0.0.1",
        CSRF_TRUSTED_ORIGINS="https://*.example.com:8443",
        GATEWAY_DOMAIN="Models.Example.com.",
        LOG_LEVEL="debug\r",
        TIME_ZONE="Europe/Berlin\r",
        DEBUG="True\r",
        DATABASE_URL=f"{POSTGRES.replace('hunter2', 'p%40ss%2F')}db.example:5433/console\r",
        METERING_KEEP_DAYS="",
        TRUSTED_PROXIES="10.0.0.1/8,::1",
        CONSOLE_HTTPS="true",
    )
    assert values["SECURE_PROXY_SSL_HEADER"] and values["SESSION_COOKIE_SECURE"]
    assert (values["CONSOLE_BIND"], values["CONSOLE_PORT"], values["DEBUG"]) == ("::", 9000, True)
    assert [str(root) for root in values["DATASET_ROOTS"]] == ["/srv/models", "/mnt/nas"]
    assert values["DATASET_ENDPOINTS"][-2:] == ["10.1.0.0/16", "::ffff:10.0.0.1"]
    assert values["GATEWAY_DOMAIN"] == "models.example.com" and values["METERING_KEEP_DAYS"] == 30
    assert values["LOGGING"]["root"]["level"] == "DEBUG" and values["TIME_ZONE"] == "Europe/Berlin"
    database = values["DATABASES"]["default"]
    assert (database["PASSWORD"], database["HOST"], database["PORT"]) == ("p@ss/", "db.example", 5433)


def test_an_empty_list_of_endpoints_allows_none_and_an_empty_url_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = load(monkeypatch, DATASET_ENDPOINTS="", REDIS_URL="", DATABASE_URL=" ", ALLOWED_HOSTS="")
    assert values["DATASET_ENDPOINTS"] == [] and values["REDIS_URL"].startswith("redis+socket:///")
    assert values["DATABASES"]["default"]["ENGINE"].endswith("sqlite3") and "localhost" in values["ALLOWED_HOSTS"]
