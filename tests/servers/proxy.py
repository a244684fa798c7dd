"""A TCP proxy before a server, which counts what passes, and does to it what networks do: cut, hold, drip, damage."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

CHUNK = 64 << 10


class Cut(Exception):
    """Raised by a rule: both sides lose the connection here."""


@dataclass
class Exchange:
    """`request`: its first line. `position`: how many bytes of the answer, headers counted, have passed."""

    request: str = ""
    position: int = 0


Rule = Callable[[Exchange, bytes], Iterator[bytes]]
"""What becomes of some bytes of an answer; may wait between one and the next."""


class Hold:
    """What is held stays so until it is cut or released, or the proxy ends. `begun` is set once something is."""

    def __init__(self) -> None:
        self.begun, self.is_over = threading.Event(), threading.Event()
        self.others_pass = self.is_released = False

    def let_others_pass(self) -> None:
        self.others_pass = True

    def cut(self) -> None:
        self.others_pass = True
        self.is_over.set()

    def release(self) -> None:
        """What is held goes on."""
        self.is_released = True
        self.cut()


class Proxy:
    """On `port` of loopback, or a free one, until the block ends. HTTP/1.1, as far as a request is one packet."""

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.upstream = upstream
        self.passed = 0
        """Bytes of answers that clients were sent, headers counted."""
        self.rules: list[Rule] = []
        self.refuses = False
        """Whether whoever connects is cut off at once, as by a server that is down."""
        self.flipped = self.held = 0
        """How many bits were flipped, and how many answers were held or dripped."""
        self._holds: list[Hold] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hold in self._holds:
            hold.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up whoever waits in accept
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Cuts every connection, and returns when nothing passes any more, so that `passed` is what it says."""
        with self._lock:
            for one in self._open:
                _shut(one)
            threads = list(self._threads)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.refuses:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self.upstream), timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            # What lies in buffers counts as passed although nobody has read it: little is to lie there.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
            pair, exchange = (client, server), Exchange()
            with self._lock:
                self._open.update(pair)
                for target in (self._ask, self._answer):
                    thread = threading.Thread(target=self._carry, args=(target, pair, exchange), daemon=True)
                    self._threads.add(thread)
                    thread.start()

    def _carry(
        self,
        target: Callable[[socket.socket, socket.socket, Exchange], None],
        pair: tuple[socket.socket, socket.socket],
        exchange: Exchange,
    ) -> None:
        try:
            with suppress(OSError, Cut):
                target(*pair, exchange)
        finally:
            for one in pair:
                _shut(one)
            with self._lock:
                self._threads.discard(threading.current_thread())
                if target == self._answer:
                    self._open.difference_update(pair)

    def _ask(self, client: socket.socket, server: socket.socket, exchange: Exchange) -> None:
        while data := client.recv(CHUNK):
            exchange.request, exchange.position = data.split(b"\r\n", 1)[0].decode("latin-1"), 0
            server.sendall(data)

    def _answer(self, client: socket.socket, server: socket.socket, exchange: Exchange) -> None:
        while data := server.recv(CHUNK):
            pieces: Iterable[bytes] = [data]
            for rule in list(self.rules):
                pieces = _applied(rule, exchange, pieces)
            for piece in pieces:
                # First: once the client has it, its next request may begin to count.
                exchange.position += len(piece)
                client.sendall(piece)
                with self._lock:
                    self.passed += len(piece)

    # Rules

    def flip(self, key: str, at: int, *, times: int = 1) -> None:
        """Flips a bit of the `at`th byte of answers to requests that name `key`: of the first `times` ones."""
        left = [times]

        def rule(exchange: Exchange, data: bytes) -> Iterator[bytes]:
            place = at - exchange.position
            if left[0] and 0 <= place < len(data) and _gets(exchange, key):
                left[0] -= 1
                self.flipped += 1
                data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            yield data

        self.rules.append(rule)

    def hold(self, key: str, at: int = 0, *, drip: bool = False) -> Hold:
        """Holds answers to requests that name `key` from the `at`th byte on, or lets one byte a second through.

        What is held never comes; whoever asks again is held too, until the Hold lets others pass.
        """
        new_hold = Hold()

        def rule(exchange: Exchange, data: bytes) -> Iterator[bytes]:
            if new_hold.others_pass or not _gets(exchange, key) or exchange.position + len(data) <= at:
                yield data
                return
            keep = max(0, at - exchange.position)
            yield data[:keep]
            self._count(new_hold)
            left = iter(range(keep, len(data)))
            while not new_hold.is_over.wait(1 if drip else None):
                if drip and (place := next(left, None)) is not None:
                    yield data[place : place + 1]
            raise Cut

        return self._held_by(new_hold, rule)

    def hold_all(self, after: int) -> Hold:
        """Holds every answer once so many more bytes have passed."""
        new_hold, limit = Hold(), self.passed + after

        def rule(_: Exchange, data: bytes) -> Iterator[bytes]:
            if new_hold.others_pass or self.passed < limit:
                yield data
                return
            self._count(new_hold)
            new_hold.is_over.wait()
            if not new_hold.is_released:
                raise Cut
            yield data

        return self._held_by(new_hold, rule)

    def _held_by(self, hold: Hold, rule: Rule) -> Hold:
        self._holds.append(hold)
        self.rules.append(rule)
        return hold

    def _count(self, hold: Hold) -> None:
        self.held += 1
        hold.begun.set()


def _gets(exchange: Exchange, key: str) -> bool:
    return exchange.request.startswith("GET ") and key in exchange.request


def _applied(rule: Rule, exchange: Exchange, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from rule(exchange, piece)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
