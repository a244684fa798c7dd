"""Bytes on a socket, without a client in between that would mend them: HTTP/1.1 as text, HTTP/2 as frames."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from tests.integration.fuzz.arena import KEY

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INFER = "/inference.GRPCInferenceService/ModelInfer"
STATUS_200, SHORT = b"\x88", 126


_GRPC_STATUS = b"\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f"
"""The name, in Huffman's code with its length before it. Its value is shorter as it is."""


@contextmanager
def connected(port: int, seconds: float = 15) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        yield connection


def head(method: str, target: str, *lines: str, key: str = KEY) -> bytes:
    """A request's head: its first line, Host, the key, and these lines."""
    every = [f"{method} {target} HTTP/1.1", "Host: localhost", *([f"X-API-Key: {key}"] if key else []), *lines, "", ""]
    return "\r\n".join(every).encode("latin-1")


def rest(sock: socket.socket) -> bytes:
    """Everything until the other side ends; b"" also when it cut the connection before an answer."""
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return b"".join(parts)


def first_answer(sock: socket.socket, *, body: bool = True) -> bytes:
    """The first answer as far as its Content-Length says: a refusing gateway lets the connection linger for 5 s."""
    answer = b""
    try:
        while part := sock.recv(65536):
            answer += part
            top, ended, rest_of_it = answer.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", top, re.IGNORECASE)
            if ended and (not body or (length and len(rest_of_it) >= int(length[1]))):
                break
    except (ConnectionResetError, BrokenPipeError):
        pass
    return answer


def exchange(port: int, sent: bytes, *, half_close: bool = False) -> bytes:
    """Sends all of it, as far as it is taken, and returns all that comes back until the connection ends."""
    with connected(port) as sock:
        try:
            sock.sendall(sent)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return rest(sock)


def send(port: int, sent: bytes) -> bytes:
    """Sends all of it, as far as it is taken, and returns the first answer, or b"" when the connection ends without."""
    with connected(port) as sock, ThreadPoolExecutor(1) as pool:
        pool.submit(_send, sock, sent)  # beside the reading: the answer may come before all is sent
        answer = first_answer(sock)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        return answer


def _send(sock: socket.socket, sent: bytes) -> None:
    with suppress(OSError):
        sock.sendall(sent)


def status_of(answer: bytes) -> int:
    """Status of the first answer; 0 when the connection ended without one, which answers bytes that are no HTTP."""
    if not answer:
        return 0
    line = answer.split(b"\r\n", 1)[0].split(b" ")
    assert line[0] in (b"HTTP/1.1", b"HTTP/1.0"), answer[:200]
    return int(line[1])


def well_formed(answer: bytes) -> int:
    """The status; an error that the gateway words itself is JSON, or has no body (the codec's own refusals)."""
    status = status_of(answer)
    if status >= 400:
        top, _, body = answer.partition(b"\r\n\r\n")
        if b"application/json" in top.lower() and b"content-length" in top.lower():
            document: Any = json.loads(body)
            assert "error" in document, body
    assert status not in (500, 502), answer[:500]
    return status


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(*pairs: tuple[str, str]) -> bytes:
    """A header block of literals without indexing; no name or value has over 126 bytes."""
    parts = []
    for pair in pairs:
        parts.append(b"\x00")
        for text in pair:
            assert len(text) <= SHORT
            parts += [bytes([len(text)]), text.encode()]
    return b"".join(parts)


def call(path: str = INFER, *more: tuple[str, str], key: str = KEY) -> bytes:
    """The header block of a gRPC call."""
    return block(
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-api-key", key),
        *more,
    )


def h2(*frames: bytes, window: int | None = None) -> bytes:
    """A connection's beginning and these frames. `window`: of each stream, towards the client."""
    settings = b"" if window is None else struct.pack(">HI", 4, window)
    return PREFACE + frame(SETTINGS, 0, 0, settings) + b"".join(frames)


def frames(answer: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each whole frame."""
    parsed, at = [], 0
    while at + 9 <= len(answer):
        size = int.from_bytes(answer[at : at + 3])
        stream = int.from_bytes(answer[at + 5 : at + 9]) & 0x7FFFFFFF
        parsed.append((answer[at + 3], answer[at + 4], stream, answer[at + 9 : at + 9 + size]))
        at += 9 + size
    return parsed


def grpc_status(answer: bytes) -> str | None:
    """For the only call on a connection: neither side has the name in a table yet."""
    blocks = b"".join(payload for kind, _, _, payload in frames(answer) if kind == HEADERS)
    _, separator, value = blocks.partition(_GRPC_STATUS)
    return value[1 : 1 + value[0]].decode() if separator else None
