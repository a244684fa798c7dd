"""One connection of the stream generator: sends a chat request, gives the events of the answer as they come."""

from __future__ import annotations

import socket


class StreamError(Exception):
    """The stream was cut, or is not one."""


class Stream:
    """HTTP/1.1 with keep-alive; answers in chunks. Not a client for anything else."""

    def __init__(self, host: str, port: int, path: str, headers: dict[str, str], body: bytes) -> None:
        """`body` has `%d` where the number of tokens belongs."""
        self.sock = socket.create_connection((host, port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        named = {"Host": f"{host}:{port}", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.head = f"POST {path} HTTP/1.1\r\n{lines}".encode()
        self.body = body
        self.clear()

    def clear(self) -> None:
        self.pending = b""
        self.text = b""
        self.begun = False
        self.left = -1
        self.done = False

    def start(self, tokens: int) -> None:
        self.clear()
        body = self.body % tokens
        request = b"%bContent-Length: %d\r\n\r\n%b" % (self.head, len(body), body)
        if self.sock.send(request) != len(request):
            raise StreamError("A request did not fit into the socket's buffer.")

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are whole now. `done` is set with the end of the answer."""
        self.pending += data
        if not self.begun and not self._begin():
            return []
        self._unchunk()
        *events, self.text = self.text.split(b"\n\n")
        return events

    def _begin(self) -> bool:
        head, separator, rest = self.pending.partition(b"\r\n\r\n")
        if not separator:
            return False
        if not head.startswith(b"HTTP/1.1 200 ") or b"chunked" not in head.lower():
            raise StreamError(f"Not a stream: {self.pending[:400]!r}")
        self.pending, self.begun = rest, True
        return True

    def _unchunk(self) -> None:
        """Moves what is whole of chunks from `pending` to `text`."""
        while True:
            if self.left < 0:
                line, separator, rest = self.pending.partition(b"\r\n")
                if not separator:
                    return
                self.left, self.pending = int(line, 16), rest
            if len(self.pending) < self.left + 2:
                return
            self.text += self.pending[: self.left]
            self.done = self.done or self.left == 0
            self.pending, self.left = self.pending[self.left + 2 :], -1

    def close(self) -> None:
        self.sock.close()
