"""One connection of the load generator: writes a request made beforehand, finds the end of its answer.

Raw sockets, so that the generator costs a fraction of what it measures: HTTP/1.1 with keep-alive, and gRPC as plain
HTTP/2 frames, one call at a time on each connection. Not a client for anything else: an answer in a form that these
servers do not send is an error.
"""

from __future__ import annotations

import re
import socket
import struct
from abc import ABC, abstractmethod

LARGEST_WINDOW = (1 << 31) - 1
FIRST_WINDOW = 65_535
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class WireError(Exception):
    """The server sent something else than a good answer."""


class Connection(ABC):
    """`start` sends one request; `feed` takes what arrives and gives the body of the answer once it is whole."""

    def __init__(self, host: str, port: int) -> None:
        self.sock = socket.create_connection((host, port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.began = 0
        """perf_counter_ns when the request in flight was sent."""
        self.pending = b""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def feed(self, data: bytes) -> bytes | None: ...

    def send(self, data: bytes) -> None:
        if self.sock.send(data) != len(data):
            raise WireError("A request did not fit into the socket's buffer.")

    def close(self) -> None:
        self.sock.close()


class Http1(Connection):
    def __init__(self, host: str, port: int, path: str, headers: dict[str, str], body: bytes) -> None:
        super().__init__(host, port)
        named = {"Host": f"{host}:{port}", **headers, "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.request = f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    def start(self) -> None:
        self.send(self.request)

    def feed(self, data: bytes) -> bytes | None:
        if self.pending:
            data = self.pending + data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self.pending = data
            return None
        length = _LENGTH.search(data, 0, head + 2)
        if not data.startswith(b"HTTP/1.1 200 ") or length is None:
            raise WireError(f"Not a 200 with a length: {data[:300]!r}")
        body = data[head + 4 :]
        missing = int(length[1]) - len(body)
        if missing > 0:
            self.pending = data
            return None
        if missing < 0:
            raise WireError("More bytes than one answer.")
        self.pending = b""
        return body


class Grpc(Connection):
    """`feed` gives the message without its 5-byte prefix. A failed call has none, so it never passes for an answer."""

    def __init__(self, host: str, port: int, path: str, headers: dict[str, str], body: bytes) -> None:
        super().__init__(host, port)
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": f"{host}:{port}",
            "te": "trailers",
            "user-agent": "bench",
            **headers,
        }
        message = b"\0" + struct.pack(">I", len(body)) + body
        # As real clients do: the first call teaches the server the headers, later ones refer to them by number.
        taught = b"".join(b"\x40" + _text(name) + _text(value) for name, value in fields.items())
        indexed = bytes(0x80 | (61 + count) for count in range(len(fields), 0, -1))
        self.first, self.later = _call(taught, message), _call(indexed, message)
        self.message_size = len(message)
        self.window = FIRST_WINDOW
        self.stream = -1
        self.received = b""
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, LARGEST_WINDOW)  # no header table, no push, open windows
        opened = struct.pack(">I", LARGEST_WINDOW - FIRST_WINDOW)
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))
        self.send(frame(WINDOW_UPDATE, 0, 0, opened))

    def start(self) -> None:
        self.stream += 2
        self.window -= self.message_size
        if self.window < 0:
            raise WireError("The server's flow-control window is used up.")
        before, between, after = self.first if self.stream == 1 else self.later
        number = self.stream.to_bytes(4, "big")
        self.send(before + number + between + number + after)

    def feed(self, data: bytes) -> bytes | None:
        if self.pending:
            data = self.pending + data
        answer = None
        at, end = 0, len(data)
        while end - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if end - at < 9 + size:
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            payload = data[at + 9 : at + 9 + size]
            at += 9 + size
            if stream and stream == self.stream and kind in (DATA, HEADERS):
                if kind == DATA:
                    self.received += payload
                if flags & END_STREAM:
                    answer = self._message()
            else:
                self._control(kind, flags, stream, payload)
        self.pending = data[at:]
        return answer

    def _message(self) -> bytes:
        received, self.received = self.received, b""
        if len(received) < 5 or received[0] or len(received) - 5 != int.from_bytes(received[1:5], "big"):
            raise WireError(f"The call was not answered with one message: {received[:100]!r}")
        return received[5:]

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            if stream == 0:
                self.window += int.from_bytes(payload, "big")
        elif kind in (SETTINGS, PING):
            if not flags & ACK:
                self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (RST_STREAM, GOAWAY):
            raise WireError(f"The server gave up (frame {kind}): {payload[:100]!r}")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _call(block: bytes, message: bytes) -> tuple[bytes, bytes, bytes]:
    """HEADERS and DATA of one call, split where the number of the stream belongs."""
    headers, data = frame(HEADERS, END_HEADERS, 0, block), frame(DATA, END_STREAM, 0, message)
    return headers[:5], headers[9:] + data[:5], data[9:]


def _text(value: str) -> bytes:
    raw = value.encode()
    if len(raw) > 126:
        raise ValueError("A header of over 126 bytes needs a longer form.")
    return bytes((len(raw),)) + raw


PROTOCOLS: dict[str, type[Http1] | type[Grpc]] = {"REST": Http1, "gRPC": Grpc}
