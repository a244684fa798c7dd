"""Requests that no client library writes: whatever two servers could read differently is read by none of the backends.

All cases are sent at once, each on a connection of its own and with its name in a header, by which the backends' calls
are told apart; a refused HTTP/2 connection lingers for some seconds.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from services.gateway.envoy.inside import EGRESS_SOCKET
from tests.integration.gateway.doors import BOTH, CHAT, Doors
from tests.integration.gateway.raw import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RESET,
    SETTINGS,
    STATUSES,
    block,
    frame,
)

pytestmark = pytest.mark.integration
INFER, CLOSED = "/v2/models/mnist/infer", "/v2/repository/index"
DEADLINE = 9.0
KEY = ("x-api-key", BOTH)
SERVED = 200


@dataclass
class Case:
    sent: bytes
    status: int | None
    """Status of the answer; None when the connection or the stream is cut."""
    answer: bytes = field(default=b"", init=False)
    cut: bool = field(default=False, init=False)

    def status_so_far(self) -> int | None:
        """The status, as far as it has come."""
        if not self.sent.startswith(PREFACE):
            return int(self.answer.split()[1]) if b"\r\n\r\n" in self.answer else None
        left = self.answer
        while len(left) >= 9 and len(left) >= 9 + (size := int.from_bytes(left[:3])):
            kind, stream, payload = left[3], int.from_bytes(left[5:9]), left[9 : 9 + size]
            if kind == HEADERS and stream == 1:
                stripped = payload.lstrip(b"\x20")
                return STATUSES.get(stripped[0]) or int(stripped[2:5])
            self.cut |= kind in (RESET, GOAWAY)
            left = left[9 + size :]
        return None


def http1(line: str, *lines: str, status: int | None = 400, host: str = "Host: a") -> Case:
    """Whoever takes the body for shorter than it says finds another request in it."""
    hidden = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nX-API-Key: {BOTH}\r\nX-Case: hidden\r\nContent-Length: 0\r\n\r\n"
    body = "0\r\n\r\n" + hidden
    every = [
        line,
        *([host] if host else []),
        *lines,
        f"X-API-Key: {BOTH}",
        "X-Case: @@@",
        f"Content-Length: {len(body)}",
    ]
    return Case(("\r\n".join([*every, "", ""]) + body).encode("latin-1"), status)


def http2(
    *more: tuple[str, str],
    path: str | None = INFER,
    method: str = "POST",
    status: int | None = None,
    scheme: str | None = "http",
    authority: str = "a",
    first: Sequence[tuple[str, str]] = (),
) -> Case:
    pseudo = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    given = [(name, value) for name, value in pseudo if value is not None]
    sent = frame(HEADERS, END_HEADERS, 1, block([*first, *given, KEY, ("x-case", "@@@"), *more]))
    # A table of no size, so that nothing in an answer refers to an earlier one.
    return Case(
        PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0)) + sent + frame(DATA, END_STREAM, 1, b"{}"), status
    )


def chunks(body: str, status: int | None = 400) -> Case:
    lines = ("Host: a", f"X-API-Key: {BOTH}", "X-Case: @@@", "Transfer-Encoding: chunked", "", body)
    return Case("\r\n".join((f"POST {INFER} HTTP/1.1", *lines)).encode("latin-1"), status)


def lengthy(length: str) -> Case:
    lines = ("Host: a", f"X-API-Key: {BOTH}", "X-Case: @@@", f"Content-Length: {length}", "", "{}".ljust(47))
    return Case("\r\n".join((f"POST {INFER} HTTP/1.1", *lines)).encode("latin-1"), 400)


UPGRADE = (
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
)
POST = f"POST {INFER} HTTP/1.1"
HTTP1 = {
    "an ordinary request": http1(POST, status=SERVED),
    "two hosts": http1(POST, "Host: small.localhost", host="Host: mnist.localhost"),
    "two hosts and no other name": http1(
        f"POST {CHAT} HTTP/1.1", "Host: words.localhost", "Content-Type: application/json", host="Host: llama.localhost"
    ),
    "the same host twice": http1(POST, "Host: a"),
    "two hosts for a closed path": http1(f"GET {CLOSED} HTTP/1.1", "Host: b"),
    "two hosts for the health of the server": http1("GET /v2/health/ready HTTP/1.1", "Host: b"),
    "no host": http1(POST, host=""),
    "an empty host": http1(POST, host="Host:"),
    "a host of blanks": http1(POST, host="Host:  \t "),
    "a user before the host": http1(POST, host="Host: mnist@a"),
    "a host that is escaped": http1(POST, host="Host: mnist%2elocalhost"),
    "a host with two ports": http1(POST, host="Host: a:80:80"),
    "a host with a port of letters": http1(POST, host="Host: a:http"),
    "a host with a port of six digits": http1(POST, host="Host: a:000080"),
    "a host in brackets": http1(POST, host="Host: [mnist.localhost]"),
    "an address as host": http1(POST, host="Host: [::1]:8080", status=SERVED),
    "an address of four numbers": http1(POST, host="Host: 127.0.0.1:8080", status=SERVED),
    "a host with an empty port": http1(POST, host="Host: a:", status=SERVED),
    "hosts with a comma": http1(POST, host="Host: mnist.localhost, small.localhost"),
    "a host with a path": http1(POST, host="Host: mnist.localhost/v2"),
    "a target with the host of another service": http1(
        f"POST http://small.localhost{INFER} HTTP/1.1", host="Host: mnist.localhost"
    ),
    "a target that overrules the host": http1(
        f"POST http://mnist.localhost{INFER} HTTP/1.1", host="Host: small.localhost", status=SERVED
    ),
    "a closed target": http1(f"POST http://a{CLOSED} HTTP/1.1", status=404),
    "a closed target behind a user": http1(f"POST http://mnist@a{CLOSED} HTTP/1.1", status=404),
    "a target of https": http1(f"POST https://a{CLOSED} HTTP/1.1", status=403),
    "a target of an upper-case scheme": http1(f"POST HTTP://a{CLOSED} HTTP/1.1", status=404),
    "a target without a host": http1(f"POST http://{INFER} HTTP/1.1"),
    "a file": http1("GET file:///etc/passwd HTTP/1.1"),
    "a socket": http1(f"GET http+unix://{EGRESS_SOCKET}/v2 HTTP/1.1"),
    "a relative target": http1(f"POST {INFER[1:]} HTTP/1.1"),
    "two lengths": http1(POST, "Content-Length: 3"),
    "lengths with a comma": http1(POST, "Content-Length: 2, 2"),
    "length and chunks": http1(POST, "Transfer-Encoding: chunked"),
    "a length that begins with a zero": lengthy("047"),
    "a length of many zeros": lengthy("0" * 40 + "47"),
    "a length below zero": lengthy("-47"),
    "a length with a sign": lengthy("+47"),
    "a length in base 16": lengthy("0x2f"),
    "a length beyond 64 bits": lengthy("9" * 23),
    "chunks of which one ends without a carriage return": chunks("2\r\n{}\n0\r\n\r\n"),
    "chunks of which one ends too late": chunks("2\r\n{}x\r\n0\r\n\r\n"),
    "chunks of which one ends not at all": chunks("2\r\n{}0\r\n\r\n"),
    "chunks whose size is signed": chunks("+2\r\n{}\r\n0\r\n\r\n"),
    "chunks whose size begins with 0x": chunks("0x2\r\n{}\r\n0\r\n\r\n"),
    "chunks whose size ends without a carriage return": chunks("2\n{}\r\n0\r\n\r\n"),
    "chunks with a carriage return in an extension": chunks("2;a\rb\r\n{}\r\n0\r\n\r\n"),
    "chunks as they should be": chunks("2\r\n{}\r\n0\r\n\r\n", status=SERVED),
    "chunks behind a vertical tab": http1(POST, "Transfer-Encoding:\x0bchunked"),
    "chunks of nothing else": http1(POST, "Transfer-Encoding: identity, chunked"),
    "an unknown expectation": http1(POST, "Expect: 200-maybe", status=SERVED),
    "chunks spelled otherwise": http1(POST, "Transfer-Encoding: xchunked"),
    "chunks twice": http1(POST, "Transfer-Encoding: chunked, chunked"),
    "chunks in two lines": http1(POST, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "chunks behind gzip": http1(POST, "Transfer-Encoding: gzip, chunked"),
    "a blank before the colon": http1(POST, "Transfer-Encoding : chunked"),
    "a folded line": http1(POST, "X-A: b", " Transfer-Encoding: chunked", status=SERVED),
    "a bare line feed": http1(POST, "X-A: b\nTransfer-Encoding: chunked"),
    "a bare carriage return": http1(POST, "X-A: b\rTransfer-Encoding: chunked", status=SERVED),
    "a nul": http1(POST, "X-A: \x00"),
    # Any other version is read as HTTP/1.0, answered as that, and ends its connection.
    "HTTP/1.0": http1(f"POST {INFER} HTTP/1.0", status=SERVED),
    "HTTP/1.0 and two hosts": http1(f"POST {INFER} HTTP/1.0", "Host: b"),
    "HTTP/1.0 and an empty host": http1(f"POST {INFER} HTTP/1.0", host="Host:"),
    "HTTP/1.0 and two lengths": http1(f"POST {INFER} HTTP/1.0", "Content-Length: 3"),
    "HTTP/1.0, length and chunks": http1(f"POST {INFER} HTTP/1.0", "Transfer-Encoding: chunked"),
    "HTTP/0.9, which has no headers": http1(f"POST {INFER}", status=411),
    "HTTP/2 in words": http1(f"POST {INFER} HTTP/2.0", status=SERVED),
    "connect": http1("CONNECT 127.0.0.1:80 HTTP/1.1", host="Host: 127.0.0.1:80"),
    "connect to a service": http1("CONNECT mnist.localhost:80 HTTP/1.1", host="Host: mnist.localhost:80"),
    "connect to a path": http1(f"CONNECT {INFER} HTTP/1.1"),
    "trace": http1(f"TRACE {INFER} HTTP/1.1", status=404),
    "a trace with a limit": http1(f"TRACE {INFER} HTTP/1.1", "Max-Forwards: 0", status=404),
    "the PROXY protocol": http1(f"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n{POST}"),
    "the PROXY protocol in bytes": http1(
        "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02" + POST
    ),
    "a star": http1("OPTIONS * HTTP/1.1", status=404),
    "a fragment": http1(f"POST {INFER}#{CLOSED} HTTP/1.1"),
    "a blank in the path": http1(f"POST {INFER} /x HTTP/1.1"),
    "a tab in the path": http1(f"POST {INFER}\t HTTP/1.1", status=SERVED),
    "a websocket": http1(POST, "Upgrade: websocket", "Connection: Upgrade", *UPGRADE, status=403),
    "a websocket by GET": http1(
        f"GET {INFER} HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", *UPGRADE, status=403
    ),
    "an upgrade to h2c": http1(POST, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", *UPGRADE, status=SERVED),
    "an upgrade to TLS": http1(POST, "Upgrade: TLS/1.2", "Connection: Upgrade", status=403),
    "an expectation": http1(POST, "Expect: 200-ok", status=SERVED),
}
HTTP2 = {
    "an ordinary stream": http2(status=SERVED),
    "an absolute path": http2(path="http://a" + INFER),
    "an absolute path that is closed": http2(path="http://a" + CLOSED),
    "no leading slash": http2(path=INFER[1:]),
    "an empty path": http2(path=""),
    "no path": http2(path=None),
    "a star as path": http2(path="*"),
    "a star for OPTIONS": http2(path="*", method="OPTIONS", status=404),
    "a path with a fragment": http2(path=f"{INFER}#{CLOSED}", status=400),
    "a path with a blank": http2(path=INFER + " HTTP/1.1"),
    "a path with a line break": http2(path=INFER + "\r\nx-service: mnist"),
    "two paths": http2(first=[(":path", CLOSED)]),
    "two methods": http2(first=[(":method", "GET")]),
    "two authorities": http2(first=[(":authority", "small.localhost")]),
    "a pseudo-header behind the others": http2((":authority", "a")),
    "an unknown pseudo-header": http2(first=[(":x-service", "mnist")]),
    "the status of an answer": http2(first=[(":status", "200")]),
    "an upper-case name": http2(("X-Api-Key", BOTH)),
    "an empty name": http2(("", "x")),
    "a line break in a value": http2(("x-a", "b\r\nx-service: mnist")),
    "a line break in a name": http2(("x-a\r\nx-service", "mnist")),
    "a nul in a value": http2(("x-a", "\x00")),
    "another host beside the authority": http2(("host", "small.localhost"), authority="mnist.localhost", status=SERVED),
    "another host that is named": http2(("host", "mnist.localhost"), authority="small.localhost", status=400),
    "two hosts beside the authority": http2(("host", "a"), ("host", "mnist.localhost")),
    "a user in the authority": http2(authority="mnist@a"),
    "a connection": http2(("connection", "x-service")),
    "a connection that is kept": http2(("keep-alive", "timeout=5")),
    "a proxy's connection": http2(("proxy-connection", "keep-alive")),
    "a stream that is an upgrade": http2(("upgrade", "h2c")),
    "chunks in a stream": http2(("transfer-encoding", "chunked")),
    "chunks and a length": http2(("transfer-encoding", "chunked"), ("content-length", "2")),
    "a larger length": http2(("content-length", "7")),
    "a smaller length": http2(("content-length", "1")),
    "two lengths in a stream": http2(("content-length", "2"), ("content-length", "3")),
    "te": http2(("te", "gzip")),
    "te with trailers and more": http2(("te", "trailers, gzip")),
    "te that is allowed": http2(("te", "trailers"), status=SERVED),
    "a stream that connects": http2(method="CONNECT", path=None, scheme=None, status=403),
    "a stream that traces": http2(method="TRACE", status=404),
    "a stream that is a websocket": http2(first=[(":protocol", "websocket")], method="CONNECT"),
    "a method of small letters": http2(method="post", status=404),
    "another scheme": http2(scheme="file", status=SERVED),
}
CASES = {**HTTP1, **HTTP2}


@pytest.fixture(scope="module")
def answered(doors: Doors) -> Doors:
    """When every case has its answer, or was cut."""
    deadline = time.monotonic() + DEADLINE
    with ExitStack() as stack:
        waiting = {}
        for number, case in enumerate(CASES.values()):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", doors.gateway.port), timeout=5))
            connection.sendall(case.sent.replace(b"@@@", b"%03d" % number))
            waiting[connection] = case
        while waiting and time.monotonic() < deadline:
            for each in select.select(list(waiting), [], [], 0.2)[0]:
                try:
                    part = each.recv(65536)
                except ConnectionError:
                    part = b""
                case = waiting[each]
                case.answer += part
                case.cut = not part
                if case.cut or case.status_so_far() is not None:
                    del waiting[each]
    return doors


def reached(doors: Doors, name: str) -> int:
    return [call["headers"].get("x-case") for call in (*doors.backend.seen(), *doors.bridge.seen())].count(name)


@pytest.mark.parametrize("name", CASES)
def test_what_two_servers_could_read_differently_reaches_nobody(answered: Doors, name: str) -> None:
    case = CASES[name]
    assert case.status_so_far() == case.status, case.answer
    assert case.cut or case.status is not None
    assert reached(answered, f"{list(CASES).index(name):03}") == (case.status == SERVED)
    if case.status not in (None, SERVED):
        message = case.answer[case.answer.index(b'{"error":') :]
        assert json.loads(message)["error"], "refused without a word"


def test_nothing_that_hid_in_a_body_was_a_request_and_the_gateway_lives(answered: Doors) -> None:
    assert reached(answered, "hidden") == 0
    assert {call["call"] for call in answered.backend.seen()} <= {f"POST {INFER}", "GET /v2/models/mnist"}
    for call in answered.backend.seen():
        assert not {"upgrade", "connection", "transfer-encoding"} & set(call["headers"])
        # Where a line was folded, or had a carriage return in it, it became one.
        assert call["headers"].get("x-a", "bTransfer-Encoding:chunked").replace(" ", "") == "bTransfer-Encoding:chunked"
    process = answered.gateway.process
    assert process is not None
    assert process.poll() is None
    assert answered.gateway.call("POST", INFER, b"{}", X_API_Key=BOTH).status == 200
