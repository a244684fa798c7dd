"""Signing in: wrong passwords are counted, per name and address."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from console.models import Tally
from console.web import login
from console.web.login import MOST_FAILURES, MOST_OF_ADDRESS
from console.web.proxies import caller

PROXIES = [ipaddress.ip_network(text) for text in ("127.0.0.1", "10.1.0.0/16", "fd00::/8")]


def sign_in(client: Client, password: str, address: str = "127.0.0.1", name: str = "alice", **headers: Any) -> bool:
    answer = client.post("/login/", {"username": name, "password": password}, REMOTE_ADDR=address, **headers)
    assert answer.status_code in (200, 302)
    return answer.status_code == 302


def test_the_right_password_signs_in(client: Client, alice: User) -> None:
    assert sign_in(client, "alice")


def test_after_too_many_wrong_ones_the_right_one_has_to_wait(client: Client, alice: User) -> None:
    for _ in range(MOST_FAILURES):
        assert not sign_in(client, "guess")
    assert not sign_in(client, "alice")
    page = client.post("/login/", {"username": "alice", "password": "alice"}).content.decode()
    assert "Too many wrong passwords" in page


def test_right_passwords_are_no_failures(client: Client, alice: User) -> None:
    for _ in range(MOST_FAILURES + 1):
        assert sign_in(client, "alice")
        client.logout()


def test_somebody_elses_guesses_lock_nobody_out(client: Client, alice: User) -> None:
    for _ in range(MOST_FAILURES):
        sign_in(client, "guess", address="127.0.0.9")
    assert sign_in(client, "alice")


@pytest.mark.slow
def test_guesses_at_other_names_wipe_no_count(client: Client, alice: User) -> None:
    """More than a cache in memory would hold."""
    for _ in range(MOST_FAILURES):
        sign_in(client, "guess")
    for number in range(310):
        sign_in(client, "guess", name=f"other-{number}")
    assert not sign_in(client, "alice")
    assert Tally.objects.count() <= MOST_OF_ADDRESS + 1


@pytest.mark.parametrize("addresses", ["198.51.100.7", "2001:db8::{:x}"])
def test_an_address_that_tries_many_names_writes_nothing_more(
    client: Client, alice: User, addresses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "MOST_OF_ADDRESS", 20)
    for number in range(20):
        sign_in(client, "guess", addresses.format(number + 1), f"name-{number}")
    rows = list(Tally.objects.order_by("key").values_list("key", "number"))
    assert not sign_in(client, "alice", addresses.format(0xFFFF))
    assert list(Tally.objects.order_by("key").values_list("key", "number")) == rows
    assert sign_in(client, "alice", "2001:db8:0:1::1") and sign_in(client, "alice", "198.51.100.8")


@pytest.mark.parametrize("trusted", [[], PROXIES[1:]], ids=["nobody", "another proxy"])
def test_whom_a_stranger_says_he_forwards_for_counts_nothing(
    client: Client, alice: User, settings: Settings, trusted: list[Any]
) -> None:
    settings.TRUSTED_PROXIES = trusted
    for number in range(MOST_FAILURES):
        sign_in(client, "guess", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
    assert not sign_in(client, "alice", HTTP_X_FORWARDED_FOR="203.0.113.99")


def test_behind_a_named_proxy_each_caller_has_an_own_count(client: Client, alice: User, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    for number in range(MOST_FAILURES):
        sign_in(client, "guess", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, 203.0.113.7")
    assert not sign_in(client, "alice", HTTP_X_FORWARDED_FOR="203.0.113.7")
    assert sign_in(client, "alice", HTTP_X_FORWARDED_FOR="203.0.113.8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.1", "198.51.100.1", "203.0.113.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1,203.0.113.7 , 10.1.2.3", "203.0.113.7"),
        ("127.0.0.1", "10.1.2.4, 10.1.2.3", "10.1.2.4"),
        ("127.0.0.1", "198.51.100.1, unknown", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, unknown, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", ",,", "127.0.0.1"),
        ("::ffff:127.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:DB8::1", "2001:db8::1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_caller_is_the_last_one_that_is_no_named_proxy(peer: str, forwarded: str, address: str) -> None:
    assert caller(peer, forwarded, PROXIES) == address
