"""How listeners are reached from the machine that they are on."""

from __future__ import annotations

import pytest

from console.stack.addresses import authority, reachable


@pytest.mark.parametrize(
    ("bind", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("10.0.0.5", "10.0.0.5"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("::1", "::1"),
    ],
)
def test_what_listens_everywhere_is_asked_on_loopback(bind: str, host: str) -> None:
    assert reachable(bind) == host


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert authority("::1", 8000) == "[::1]:8000"
    assert authority("example.org", 8000) == "example.org:8000"
