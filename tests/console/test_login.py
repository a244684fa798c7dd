"""Signing in: wrong passwords are counted, per name and address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from console.login import MOST_FAILURES


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def sign_in(client: Client, password: str, address: str = "127.0.0.1") -> bool:
    answer = client.post("/login/", {"username": "alice", "password": password}, REMOTE_ADDR=address)
    return answer.status_code == 302


def test_the_right_password_signs_in(client: Client, alice: User) -> None:
    assert sign_in(client, "alice")


def test_after_too_many_wrong_ones_the_right_one_has_to_wait(client: Client, alice: User) -> None:
    for _ in range(MOST_FAILURES):
        assert not sign_in(client, "guess")
    assert not sign_in(client, "alice")
    page = client.post("/login/", {"username": "alice", "password": "alice"}).content.decode()
    assert "Too many wrong passwords" in page


def test_somebody_elses_guesses_lock_nobody_out(client: Client, alice: User) -> None:
    for _ in range(MOST_FAILURES):
        sign_in(client, "guess", address="127.0.0.9")
    assert sign_in(client, "alice")
