"""Who may say that a request came over HTTPS: a proxy that an administrator named."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from console.web.proxies import Proxies

PROXY = [ipaddress.ip_network("127.0.0.1")]


@pytest.fixture(autouse=True)
def behind_https(settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.TRUSTED_PROXIES = PROXY


def scheme(peer: str, **headers: Any) -> str:
    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.scheme)

    return Proxies(answer)(RequestFactory().get("/", REMOTE_ADDR=peer, **headers)).content.decode()


@pytest.mark.parametrize(
    ("peer", "protocol", "seen"),
    [
        ("127.0.0.1", "https", "https"),
        ("::ffff:127.0.0.1", "https", "https"),
        ("127.0.0.1", "http", "http"),
        ("127.0.0.1", "http, https", "https"),
        ("127.0.0.1", "https,http", "http"),
        ("127.0.0.1", "", "http"),
        ("127.0.0.2", "https", "http"),
        ("203.0.113.1", "https", "http"),
        ("", "https", "http"),
    ],
)
def test_only_a_named_proxy_says_that_it_was_https(peer: str, protocol: str, seen: str) -> None:
    assert scheme(peer, HTTP_X_FORWARDED_PROTO=protocol) == seen


def test_who_is_forwarded_for_does_not_say_it_either() -> None:
    """The address of the connection decides, not the one that it names."""
    assert scheme("203.0.113.1", HTTP_X_FORWARDED_FOR="127.0.0.1", HTTP_X_FORWARDED_PROTO="https") == "http"
    assert scheme("127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.1", HTTP_X_FORWARDED_PROTO="https") == "https"


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("203.0.113.1", 403)])
@pytest.mark.django_db
def test_a_form_is_posted_through_the_named_proxy(peer: str, status: int) -> None:
    headers: dict[str, Any] = {"REMOTE_ADDR": peer, "HTTP_HOST": "testserver", "HTTP_X_FORWARDED_PROTO": "https"}
    client = Client(enforce_csrf_checks=True, **headers)
    token = client.get("/login/").content.decode().split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form: dict[str, Any] = {"username": "a", "password": "b", "csrfmiddlewaretoken": token}
    assert client.post("/login/", form, HTTP_ORIGIN="https://testserver").status_code == status
