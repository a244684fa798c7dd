"""What Envoy's HTTP/1.1 codec repairs before a filter sees the request, and no option refuses: the whole list.

RFC 9112 lets a server do so, or asks for it (empty lines before a request, folded lines replaced by blanks). What
counts is that nobody behind reads the request otherwise: it goes on as it was understood, and as the plain one does.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.integration.gateway.raw import http1
from tests.integration.gateway.stage import Stage
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
LINE = f"POST {INFER} HTTP/1.1\r\n"
FIELDS = f"Host: a\r\nX-API-Key: {snapshots.TEAM}\r\nContent-Type: application/json\r\n"
SIZED, CHUNKED = "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"
PLAIN = LINE + FIELDS + SIZED + "\r\n{}"


def chunks(body: str) -> str:
    return LINE + FIELDS + CHUNKED + "\r\n" + body


REPAIRED = {
    "a tab behind the method": PLAIN.replace("POST ", "POST\t"),
    "two blanks behind the method": PLAIN.replace("POST ", "POST  "),
    "a tab before the version": PLAIN.replace(" HTTP", "\tHTTP"),
    "two blanks before the version": PLAIN.replace(" HTTP", "  HTTP"),
    "a blank behind the version": PLAIN.replace("1.1\r", "1.1 \r", 1),
    "a carriage return for a blank": PLAIN.replace("POST ", "POST\r"),
    "empty lines before it": "\r\n\r\n" + PLAIN,
    "a line feed before it": "\n" + PLAIN,
    "a carriage return before it": "\r" + PLAIN,
    "lines that end in a line feed": PLAIN.replace("\r\n", "\n"),
    "a first line that ends in a line feed": PLAIN.replace("\r\n", "\n", 1),
    "a folded value": PLAIN.replace("Content-Length: 2", "Content-Length:\r\n 2"),
    "a carriage return in a value": PLAIN.replace("Content-Length: 2", "Content-Length: 2\r"),
    "a chunk's extension": chunks("2;a=b\r\n{}\r\n0\r\n\r\n"),
    "a chunk's extension with a quote that never ends": chunks('2;a="b\r\n{}\r\n0\r\n\r\n'),
    "blanks behind a chunk's size": chunks("2 \t\r\n{}\r\n0\r\n\r\n"),
    "zeros before a chunk's size": chunks("0" * 40 + "2\r\n{}\r\n000\r\n\r\n"),
    "trailers": chunks("2\r\n{}\r\n0\r\nContent-Length: 9\r\nX-A: b\r\n\r\n"),
}


def reached(stage: Stage, sent: str) -> list[dict[str, Any]]:
    """What the replicas saw of it. A second request on the connection, of the plain kind, is read as such."""
    before = stage.first.count(), stage.second.count()
    answer = b""
    with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=10) as connection:
        last = PLAIN.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n")
        connection.sendall((sent + last).encode("latin-1"))
        while part := connection.recv(65536):
            answer += part
    assert answer.count(b"HTTP/1.1 200 OK") == 2, answer
    return [*stage.first.seen(before[0]), *stage.second.seen(before[1])]


@pytest.mark.parametrize("case", REPAIRED)
def test_what_is_repaired_goes_on_as_it_was_understood(stage: Stage, case: str) -> None:
    def comparable(call: dict[str, Any]) -> dict[str, Any]:
        own = ("x-request-id", "transfer-encoding", "content-length")
        return {"call": call["call"], **{name: value for name, value in call["headers"].items() if name not in own}}

    calls = reached(stage, REPAIRED[case])
    assert [comparable(call) for call in calls] == [comparable(reached(stage, PLAIN)[0])] * 2
    for call in calls:
        framing = {name: call["headers"].get(name) for name in ("transfer-encoding", "content-length")}
        assert framing in (
            {"transfer-encoding": "chunked", "content-length": None},
            {"transfer-encoding": None, "content-length": "2"},
        )


@pytest.mark.parametrize("name", ["X-A ", "X-A\t", "X A", "", "X-\xe4", "X(A)", 'X"A"', "X\x00", "X/A", "X@A", "X\x7f"])
def test_a_name_that_is_no_token_is_refused(stage: Stage, name: str) -> None:
    before = stage.count()
    assert http1(stage.gateway.port, "POST", INFER, [(name, "b"), ("X-API-Key", snapshots.TEAM)]) == 400
    assert stage.count() == before


@pytest.mark.parametrize("value", ["\x00", "\x01", "\x08", "\x0b", "\x0c", "\x1f", "\x7f", "a\x00b"], ids=range(8))
def test_a_value_with_a_control_character_is_refused(stage: Stage, value: str) -> None:
    before = stage.count()
    assert http1(stage.gateway.port, "POST", INFER, [("X-A", f"a{value}b"), ("X-API-Key", snapshots.TEAM)]) == 400
    assert stage.count() == before


@pytest.mark.parametrize(
    "line",
    [
        f" POST {INFER} HTTP/1.1",
        f"\tPOST {INFER} HTTP/1.1",
        f"POST\x0b{INFER} HTTP/1.1",
        f"POST\x0c{INFER} HTTP/1.1",
        f"POST\xa0{INFER} HTTP/1.1",
        f"post {INFER} HTTP/1.1",
        f"Post {INFER} HTTP/1.1",
        f"P@ST {INFER} HTTP/1.1",
        f"POST {INFER} http/1.1",
        f"POST {INFER} HTTP/1.01",
        f"POST {INFER} HTTP/01.1",
        f"POST {INFER} HTTP/1",
        f"POST {INFER} HTTP/1.",
        f"POST {INFER} HTTP/1,1",
        f"POST {INFER} HTTPS/1.1",
        f"POST {INFER} HTTP/ 1.1",
        f"POST {INFER} ICE/1.0",
        f"POST {INFER}\tx HTTP/1.1",
        f"POST {INFER} x HTTP/1.1",
        f"POST {INFER}\x01 HTTP/1.1",
        f"POST {INFER}\xe9 HTTP/1.1",
        f"POST {INFER}#x HTTP/1.1",
        f"POST {INFER}%00 HTTP/1.1",
        f"POST {INFER}%2f HTTP/1.1",
        f"POST {INFER}%5c HTTP/1.1",
    ],
    ids=range(25),
)
def test_any_other_request_line_is_refused(stage: Stage, line: str) -> None:
    before = stage.count()
    with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=10) as connection:
        connection.sendall((line + "\r\n" + FIELDS + SIZED + "\r\n{}").encode("latin-1"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert stage.count() == before
