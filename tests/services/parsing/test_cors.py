"""Origins of pages as people write them: those that a browser can send, as it sends them; every other one is named."""

from __future__ import annotations

from typing import Any

import pytest

from services.schema.origins import MAX_ORIGINS
from services.specs import ServiceSpec
from tests.services.parsing.test_access import errors_of, parsed

FIELD = "cors.allowed_origins"


def origins(*rows: Any) -> tuple[str, ...]:
    return parsed(cors={"allowed_origins": list(rows)}).cors.allowed_origins


def test_nothing_said_is_off() -> None:
    assert (
        parsed().cors.allowed_origins
        == parsed(cors={}).cors.allowed_origins
        == parsed(cors=None).cors.allowed_origins
        == origins()
        == ()
    )


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://app.example", "https://app.example"),
        (" HTTPS://App.Example ", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://my_app.example", "https://my_app.example"),
        ("*", "*"),
    ],
)
def test_an_origin_is_kept_as_browsers_spell_it(written: str, sent: str) -> None:
    assert origins(written) == (sent,)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "app.example",
        "https://",
        "https://app.example/",
        "https://app.example/page",
        "https://app.example?a=b",
        "https://app.example#a",
        "https://user@app.example",
        "https://app.example:",
        "https://app.example:0",
        "https://app.example:70000",
        "https://app.example:x",
        "https://a b",
        "https://a,b",
        "//app.example",
        "null",
        "file://",
        "ftp://app.example",
        "chrome-extension://abc",
        "https://.example",
        "https://a..b",
        "https://-a.example",
        "https://[::1",
        "https://[::01]",
        "https://[x]",
        "https://a\\b",
        "https://b\u00fccher.example",
        "https://*.example",
        "https://app.*",
        "**",
        "https://*",
        5,
        None,
        [],
        {},
        True,
        "https://" + "a" * 64,
        "https://" + ".".join(["a" * 60] * 5),
    ],
)
def test_what_no_browser_sends_is_refused_at_its_place(origin: Any) -> None:
    errors = errors_of(cors={"allowed_origins": ["https://fine.example", origin]})
    assert list(errors) == [f"{FIELD}.1"]
    assert all(message.endswith(".") for message in errors[f"{FIELD}.1"])


def test_the_list_itself_may_be_wrong() -> None:
    assert list(errors_of(cors={"allowed_origins": "https://a"})) == [FIELD]
    assert list(errors_of(cors={"allowed_origins": ["*", "https://a"]})) == [FIELD]
    assert list(errors_of(cors={"allowed_origins": [f"https://a{i}" for i in range(MAX_ORIGINS + 1)]})) == [FIELD]
    assert list(errors_of(cors={"allowed_origins": ["https://a", "https://A:443"]})) == [f"{FIELD}.1"]
    assert errors_of(cors={"origins": []}) == {"cors.origins": ["Unknown. Use allowed_origins."]}


def test_origins_survive_being_stored_and_revisions_stored_before_them_are_read() -> None:
    spec = parsed(cors={"allowed_origins": ["https://a", "http://b:1"]})
    assert ServiceSpec.from_json(spec.to_json()) == spec
    assert ServiceSpec.from_json({key: value for key, value in spec.to_json().items() if key != "cors"}) == parsed()
