"""Redirects, and whom TLS trusts."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from datasets.errors import SourceError
from tests.datasets.sources.net.clients import CONTENT, SECRET, failing, leading, talking, web
from tests.datasets.sources.net.test_sockets import EVERYTHING, METADATA, NOWHERE
from tests.datasets.sources.wire import Wire, always, certificate, reply, serving


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_at_the_same_server_keeps_credentials_and_connection(status: int) -> None:
    with talking(leading("other?a=b", status)) as (wire, client):
        answer = client.open(wire.url(), credentials=SECRET)
        assert answer.body.readall() == CONTENT
        assert answer.url.target == "/other?a=b"
    assert [request.split()[1] for request in wire.requests] == ["/file", "/other?a=b"]
    assert all("Authorization: Bearer hidden" in request for request in wire.requests)
    assert wire.connections == 1


def test_a_redirect_to_another_server_drops_credentials_for_good() -> None:
    """Also when that one leads back. The headers that say what is wanted go along."""
    targets: list[Wire] = []

    def first(head: str, connection: socket.socket) -> bool:
        return leading(targets[0].url())(head, connection) is True

    def second(head: str, connection: socket.socket) -> bool:
        return leading(start.url("/back"))(head, connection) is True

    with serving(first) as start, serving(second) as other:
        targets.append(other)
        client = web()
        answer = client.open(start.url(), {"Range": "bytes=0-"}, credentials=SECRET)
        assert answer.body.readall() == CONTENT
        client.close()
    assert ["hidden" in request for request in [*start.requests, *other.requests]] == [True, False, False]
    assert all("Range: bytes=0-" in request for request in [*start.requests, *other.requests])


@pytest.mark.parametrize("host", METADATA + NOWHERE)
def test_a_redirect_to_a_forbidden_address_is_not_followed(host: str) -> None:
    with serving(leading(f"http://{host}/latest/meta-data/iam?hidden")) as wire:
        client = web("127.0.0.1", *EVERYTHING)
        with pytest.raises(SourceError, match="is not connected to") as caught:
            client.open(wire.url())
        client.close()
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "http://other.example/",
        "//other.example/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://me:hidden@127.0.0.1/",
        "http://127.0.0.2/",
        "javascript:alert(1)",
        "http://[::1",
        "",
        "http://127.0.0.1\\@other.example/",
    ],
)
def test_a_redirect_to_where_nobody_may_go_is_not_followed(location: str) -> None:
    error = failing(leading(location))
    assert error.permanent


def test_a_redirect_from_tls_to_none_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, public = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    untrusted = pytest.raises(SourceError, match="without TLS")
    with serving(always(reply(CONTENT))) as plain, talking(leading(plain.url()), context) as (wire, client), untrusted:
        client.open(wire.url())
    assert plain.requests == []


def test_redirects_in_a_circle_end() -> None:
    with talking(leading("/file")) as (wire, client), pytest.raises(SourceError, match="without end"):
        client.open(wire.url())
    assert len(wire.requests) == 6


# TLS


def test_a_certificate_that_is_not_trusted_is_said_so_with_what_to_do(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    trusted = pytest.raises(SourceError, match="is not trusted: self-signed")
    with serving(always(reply(CONTENT)), context) as wire, trusted as caught:
        web().open(wire.url())
    assert "SSL_CERT_FILE" in caught.value.hint
    assert caught.value.permanent


def test_a_certificate_of_another_host_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, public = certificate(tmp_path, "models.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    with serving(always(reply(CONTENT)), context) as wire, pytest.raises(SourceError, match="is not trusted"):
        web().open(wire.url())


def test_over_tls_bytes_arrive_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, public = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    big = os.urandom(3 << 20)
    with talking(always(reply(big)), context) as (wire, client):
        assert [client.open(wire.url()).body.readall() for _ in range(2)] == [big] * 2
    assert wire.connections == 1


def test_tls_to_a_server_that_speaks_none_is_said_so() -> None:
    with serving(always(reply(CONTENT))) as wire, pytest.raises(SourceError, match="No TLS connection to"):
        web().open(wire.url().replace("http:", "https:"))
