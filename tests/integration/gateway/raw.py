"""Requests written byte for byte, over HTTP/1.1 and HTTP/2: client libraries would tidy up what is tested."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Protocol

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS = 1, 4
STATUSES = {0x88: 200, 0x8C: 400, 0x8D: 404, 0x8E: 500}
OTHER, CUT = -1, 0
"""A status without a number of its own in HPACK, and a request that was cut off without an answer."""
Header = tuple[str, str]


class Sender(Protocol):
    def __call__(self, port: int, method: str, path: str, headers: Sequence[Header], body: bytes = ...) -> int: ...


def exchange(port: int, sent: bytes, wait: bool = False) -> bytes:
    """The beginning of the answer; with `wait` all that comes until nothing does for a moment."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        parts = []
        try:
            connection.sendall(sent)
            while part := connection.recv(65536):
                parts.append(part)
                if not wait:
                    break
                connection.settimeout(0.3)
        except (ConnectionError, TimeoutError):
            pass
        return b"".join(parts)


def http1(port: int, method: str, path: str, headers: Sequence[Header], body: bytes = b"{}") -> int:
    """The status. Host is `a` unless the headers have another."""
    lines = [f"{name}: {value}" for name, value in headers]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.insert(0, "Host: a")
    framing = [f"Content-Length: {len(body)}", "Connection: close"]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, *framing, "", ""])
    return status_of(exchange(port, head.encode("latin-1") + body))


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else CUT


def http2(port: int, method: str, path: str, headers: Sequence[Header], body: bytes = b"{}") -> int:
    """As `http1`, with prior knowledge; Host becomes `:authority`. Names should be lower case."""
    authority = next((value for name, value in headers if name.lower() == "host"), "a")
    named = [(name, value) for name, value in headers if name.lower() != "host"]
    pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        # A table of no size, so that nothing in an answer refers to an earlier one.
        connection.sendall(
            PREFACE
            + frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0))
            + frame(HEADERS, END_HEADERS, 1, block([*pseudo, *named]))
            + frame(DATA, END_STREAM, 1, body)
        )
        buffered = b""
        while part := connection.recv(65536):
            buffered += part
            while len(buffered) >= 9 and len(buffered) >= 9 + (size := int.from_bytes(buffered[:3])):
                kind, stream, payload = buffered[3], int.from_bytes(buffered[5:9]), buffered[9 : 9 + size]
                buffered = buffered[9 + size :]
                if kind == HEADERS and stream == 1:
                    return STATUSES.get(payload.lstrip(b"\x20")[0], OTHER)
                if kind == GOAWAY or (kind == RESET and stream == 1):
                    return CUT
    return CUT


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(headers: Sequence[Header]) -> bytes:
    """Literals without indexing."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, length = len(raw) - 127, [127]
    while rest > 127:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + raw
