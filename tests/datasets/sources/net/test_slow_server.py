"""Requests, against servers that are slow, or never stop, and readers that give up."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from datasets.errors import SourceError
from tests.datasets.sources.net.clients import CONTENT, failing, talking, web
from tests.datasets.sources.wire import Answer, always, certificate, reply, serving


def dripping(start: bytes, wait: float = 0.05) -> Answer:
    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(start)
        with suppress(OSError):
            while True:
                connection.sendall(b"x")
                time.sleep(wait)

    return answer


@pytest.mark.parametrize(
    "start",
    [
        reply(length=1_000_000),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",  # a header without an end
        b"HTTP/1.1 ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n",
    ],
)
def test_a_server_that_drips_is_given_up(start: bytes) -> None:
    begun = time.monotonic()
    error = failing(dripping(start), window=0.5)
    assert "stopped sending, or sends too slowly" in error.message
    assert not error.permanent
    assert time.monotonic() - begun < 20


def test_a_server_that_stops_is_given_up() -> None:
    with serving(lambda _, connection: (connection.sendall(reply(length=9)), wire.over.wait(20))[0]) as wire:
        client = web(stall=0.3)
        with pytest.raises(SourceError, match="stopped sending") as caught:
            client.open(wire.url()).body.readall()
        client.close()
    assert not caught.value.permanent


def test_a_reader_that_takes_its_time_is_not_taken_for_a_slow_server() -> None:
    with serving(always(reply(b"x" * 4_000_000))) as wire:
        client = web(window=0.2, stall=0.2)
        with client.open(wire.url()).body as body:
            count = 0
            while got := len(body.read(1_000_000)):
                count += got
                time.sleep(0.3)
        client.close()
    assert count == 4_000_000


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"X: " + b"y" * 5000 + b"\r\n", b"x" * 5000])
def test_headers_without_end_are_given_up(piece: bytes) -> None:
    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(piece)

    assert "127.0.0.1" in failing(answer).message


def test_a_server_that_says_go_on_for_ever_is_given_up() -> None:
    def answer(_: str, connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    assert "more headers" in failing(answer).message


def test_something_small_is_not_read_beyond_its_limit() -> None:
    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(CONTENT)

    longer = pytest.raises(SourceError, match="The list is longer than 1000000 bytes")
    with talking(answer) as (wire, client), longer:
        client.read(wire.url(), 1_000_000, "The list")


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Connection: close", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("secure", [False, True])
def test_closing_from_another_thread_ends_a_wait_at_once(
    framing: str,
    secure: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, public = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))

    def answer(_: str, connection: socket.socket) -> None:
        start = b"400\r\n" if "chunked" in framing else b""
        connection.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + start + b"x" * 100)
        wire.over.wait(30)

    with serving(answer, context if secure else None) as wire, ThreadPoolExecutor(1) as threads:
        client = web(stall=20, window=20)
        body = client.open(wire.url()).body
        waiting = threads.submit(body.readinto, bytearray(10_000))
        time.sleep(0.3)
        begun = time.monotonic()
        body.close()
        with pytest.raises(SourceError, match="given up") as caught:
            waiting.result(30)
        assert time.monotonic() - begun < 10
        assert not caught.value.permanent
        with pytest.raises(SourceError, match="given up"):
            body.readinto(bytearray(10))
        client.close()


def test_closing_at_any_moment_leaves_no_connection_to_somebody_else_shut() -> None:
    """A body that ends gives its connection back; a late close of that body must not touch it."""
    with talking(always(reply(CONTENT))) as (wire, client):
        for _ in range(300):
            body = client.open(wire.url()).body
            closer = threading.Thread(target=body.close)
            closer.start()
            with suppress(SourceError):
                body.readall()
            closer.join()
            with client.open(wire.url()).body as after:
                assert after.readall() == CONTENT


@pytest.mark.slow
def test_answers_that_were_asked_for_long_ago_are_not_waited_for_one_after_the_other() -> None:
    def silent(head: str, connection: socket.socket) -> bool:
        return not wire.over.wait(20)

    with serving(silent) as wire:
        client = web(stall=4.0)
        requests = [client.begin(client.network.require(wire.url()), {}) for _ in range(4)]
        began = time.monotonic()
        for one in requests:
            with pytest.raises(SourceError, match="stopped sending"):
                one.answer()
        assert time.monotonic() - began < 14  # 4 and three times 1, not 16
