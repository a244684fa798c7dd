"""The HTTP client against servers that misbehave: whatever answers, there is an answer in words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from console.errors import Unavailable
from services.clients.inference import http as inference_http
from services.clients.inference.call import Answer, Call, Input
from services.clients.inference.caller import Caller

KEY = "isk_secret"


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that does `behave` with its one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def read_head(connection: socket.socket) -> bytes:
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += connection.recv(65536)
    return seen


def call(port: int, values: int = 4, timeout: float = 5.0) -> Answer:
    item = Input("x", "FP32", np.zeros(values, dtype="<f4"))
    return inference_http.infer(Call(Caller("127.0.0.1", port, KEY, timeout=timeout), "m", (item,), binary=True))


def answering(raw: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(raw)

    return behave


@pytest.mark.parametrize(
    ("raw", "status", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "200 OK", "The answer is not a V2 inference response."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\njunk", "200 OK", "The answer is not a V2 inference response."),
        (
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n"
                b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [9]}]}  '
            ),
            "200 OK",
            "The answer is not a V2 inference response.",
        ),
        (b'HTTP/1.1 400 Bad\r\nContent-Length: 16\r\n\r\n{"error": "why"}', "400 Bad Request", "why"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>", "502 Bad Gateway", "<html>"),
        (b"HTTP/1.1 503 Bad\r\nContent-Length: 0\r\n\r\n", "503 Service Unavailable", "The answer was 503 without a"),
        (b"SSH-2.0\r\n", "no answer", "The connection ended before an answer came (BadStatusLine)."),
        (b"", "no answer", "The connection ended before an answer came"),
    ],
)
def test_whatever_answers_is_told_in_words(raw: bytes, status: str, message: str) -> None:
    with server(answering(raw)) as port:
        answer = call(port)
    assert (answer.ok, answer.status, answer.responses) == (False, status, ())
    assert answer.error.startswith(message)
    assert KEY not in repr(answer)


def test_a_body_refused_while_it_is_being_sent_still_brings_its_reason() -> None:
    # Closing with the rest unread resets the connection.
    refusing = answering(b'HTTP/1.1 413 No\r\nContent-Length: 22\r\nConnection: close\r\n\r\n{"error": "too large"}')
    with server(refusing) as port:
        answer = call(port, values=4 << 20)
    assert (answer.status, answer.error) == ("413 Request Entity Too Large", "too large")


def test_an_answer_that_takes_too_long_is_told_with_the_limit() -> None:
    done = threading.Event()

    def behave(connection: socket.socket) -> None:
        read_head(connection)
        done.wait(10)

    with server(behave) as port:
        answer = call(port, timeout=0.1)
        done.set()
    assert (answer.status, answer.error) == ("no answer", "There was no answer within 0.1 s.")
    assert answer.timing.wait_ms >= 100


def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match="gateway does not answer"):
        call(port)


def test_the_key_is_in_the_request_and_in_nothing_that_is_shown() -> None:
    heads: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(b'HTTP/1.1 401 No\r\nContent-Length: 15\r\n\r\n{"error": "no"}')

    with server(behave) as port:
        answer = call(port)
    assert f"authorization: Bearer {KEY}".encode() in heads[0]
    assert answer.request.headers["authorization"] == "Bearer $API_KEY" and KEY not in repr(answer)
