"""The load generator takes nothing but whole, good answers, however they are cut."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from bench.generators import wire

MESSAGE = b"\0\0\0\0\x02ok"
Peer = tuple[wire.Connection, socket.socket]


@pytest.fixture
def connect() -> Iterator[Callable[[type[wire.Http1] | type[wire.Grpc]], Peer]]:
    """A connection of this kind and the server's end of it."""
    opened: list[socket.socket | wire.Connection] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def make(kind: type[wire.Http1] | type[wire.Grpc]) -> Peer:
            connection = kind("127.0.0.1", listening.getsockname()[1], "/infer", {"x-api-key": "k"}, b"body")
            accepted, _ = listening.accept()
            accepted.settimeout(5)
            opened.extend((connection, accepted))
            return connection, accepted

        yield make
        for each in opened:
            each.close()


def test_an_http_answer_is_whole_however_it_is_cut(connect: Callable[[type[wire.Http1]], Peer]) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\n\r\nok"
    for cut in range(1, len(answer)):
        connection, _ = connect(wire.Http1)
        assert connection.feed(answer[:cut]) is None
        assert connection.feed(answer[cut:]) == b"ok"


def test_an_http_request_carries_headers_and_length(connect: Callable[[type[wire.Http1]], Peer]) -> None:
    connection, server = connect(wire.Http1)
    connection.start()
    sent = server.recv(4096)
    assert sent.startswith(b"POST /infer HTTP/1.1\r\n")
    assert b"\r\nx-api-key: k\r\n" in sent and sent.endswith(b"\r\nContent-Length: 4\r\n\r\nbody")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1",
    ],
)
def test_any_other_http_answer_is_an_error(connect: Callable[[type[wire.Http1]], Peer], answer: bytes) -> None:
    connection, _ = connect(wire.Http1)
    with pytest.raises(wire.WireError):
        connection.feed(answer)


def test_a_grpc_answer_is_whole_however_it_is_cut(connect: Callable[[type[wire.Grpc]], Peer]) -> None:
    answer = (
        wire.frame(wire.SETTINGS, 0, 0, b"")
        + wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"")
        + wire.frame(wire.DATA, 0, 1, MESSAGE)
        + wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, b"")
    )
    for cut in range(1, len(answer)):
        connection, _ = connect(wire.Grpc)
        connection.start()
        assert connection.feed(answer[:cut]) is None
        assert connection.feed(answer[cut:]) == b"ok"


def test_a_ping_is_answered(connect: Callable[[type[wire.Grpc]], Peer]) -> None:
    connection, server = connect(wire.Grpc)
    server.recv(4096)
    assert connection.feed(wire.frame(wire.PING, 0, 0, b"12345678")) is None
    assert server.recv(4096) == wire.frame(wire.PING, wire.ACK, 0, b"12345678")


@pytest.mark.parametrize(
    "answer",
    [
        wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, b""),  # as every failed call ends
        wire.frame(wire.DATA, wire.END_STREAM, 1, MESSAGE + MESSAGE),
        wire.frame(wire.RST_STREAM, 0, 1, b"\0\0\0\x07"),
        wire.frame(wire.GOAWAY, 0, 0, bytes(8)),
    ],
)
def test_any_other_grpc_answer_is_an_error(connect: Callable[[type[wire.Grpc]], Peer], answer: bytes) -> None:
    connection, _ = connect(wire.Grpc)
    connection.start()
    with pytest.raises(wire.WireError):
        connection.feed(answer)
