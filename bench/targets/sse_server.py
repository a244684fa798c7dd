"""A backend that sends tokens at a pace, a process of its own: `python -m bench.targets.sse_server`, JSON on stdin.

Speaks just enough of OpenAI's streamed chat: any POST is answered with as many frames as `max_tokens` says, each with
its number and the time it was sent (CLOCK_MONOTONIC, which all processes of a machine share), then usage, then
[DONE]. The first frame also says when the request had come. One thread over epoll; frames leave on time whether or
not anybody reads, so a reader that is slow cannot slow the sender and hide it.

plan: {"host", "port", "first_ms", "interval_ms"}
"""

from __future__ import annotations

import heapq
import json
import re
import select
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens": ?(\d+)')
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FRAME = (
    '{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1700000000,"model":"bench-chat",'
    '"choices":[{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":null}]}'
)
USAGE = (
    '{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1700000000,"model":"bench-chat","choices":[],'
    '"usage":{"prompt_tokens":12,"total_tokens":%d,"completion_tokens":%d}}'
)


def event(data: str) -> bytes:
    """A server-sent event as one chunk."""
    raw = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(raw), raw)


class Peer:
    """One connection: a request at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.unsent = b""
        self.came = 0
        self.number = 0
        self.tokens = 0

    def request(self, data: bytes) -> bytes | None:
        """The body of a request, or its method and path where it has none, once it is whole."""
        self.received += data
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = _LENGTH.search(self.received, 0, head + 2)
        end = head + 4 + (int(length[1]) if length else 0)
        if len(self.received) < end:
            return None
        whole, self.received = self.received[:end], self.received[end:]
        return whole[head + 4 :] or whole.split(b" HTTP")[0]

    def send(self, data: bytes) -> None:
        self.unsent += data
        self.flush()

    def flush(self) -> None:
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            return


class Server:
    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.first, self.interval = int(plan["first_ms"] * 1e6), int(plan["interval_ms"] * 1e6)
        self.listening = socket.create_server((plan["host"], plan["port"]), backlog=4096)
        self.listening.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listening, select.EPOLLIN)
        self.peers: dict[int, Peer] = {}
        self.due: list[tuple[int, int, Peer]] = []

    def serve(self) -> None:
        while True:
            wait = -1.0 if not self.due else max(0.0, (self.due[0][0] - time.monotonic_ns()) / 1e9)
            for descriptor, events in self.poll.poll(wait):
                if descriptor == self.listening.fileno():
                    self._accept()
                elif peer := self.peers.get(descriptor):
                    self._serve(peer, events)
            now = time.monotonic_ns()
            while self.due and self.due[0][0] <= now:
                due, descriptor, peer = heapq.heappop(self.due)
                if self.peers.get(descriptor) is peer:
                    self._next(peer, due)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listening.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers[sock.fileno()] = Peer(sock)
            self.poll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def _serve(self, peer: Peer, events: int) -> None:
        try:
            if events & select.EPOLLOUT and peer.unsent:
                peer.flush()
            data = peer.sock.recv(65_536) if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) else None
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data == b"":
            del self.peers[peer.sock.fileno()]
            peer.sock.close()
        elif data and (request := peer.request(data)):
            self._begin(peer, request)

    def _begin(self, peer: Peer, request: bytes) -> None:
        peer.came = time.monotonic_ns()
        if request.startswith(b"GET "):
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            return
        match = _TOKENS.search(request)
        peer.number, peer.tokens = 0, int(match[1]) if match else 1
        heapq.heappush(self.due, (peer.came + self.first, peer.sock.fileno(), peer))

    def _next(self, peer: Peer, due: int) -> None:
        head = HEAD if peer.number == 0 else b""
        came = peer.came if peer.number == 0 else 0
        data = head + event(FRAME % f"{peer.number} {time.monotonic_ns()} {came}")
        peer.number += 1
        if peer.number == peer.tokens:
            data += event(USAGE % (12 + peer.tokens, peer.tokens)) + event("[DONE]") + b"0\r\n\r\n"
        else:
            heapq.heappush(self.due, (due + self.interval, peer.sock.fileno(), peer))
        try:
            peer.send(data)
        except OSError:
            self.peers.pop(peer.sock.fileno(), None)
            peer.sock.close()


if __name__ == "__main__":
    Server(json.load(sys.stdin)).serve()
