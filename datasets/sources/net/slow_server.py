"""Sockets that notice a server that hardly sends: a byte a second holds a stream for ever, which no time-out sees.

Only the time spent waiting for the server counts, not what the reader does between two reads.
"""

from __future__ import annotations

import socket
import ssl
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TooSlow(TimeoutError):
    """Fewer bytes in a window than a server must send."""


class HeadTooLong(OSError):
    """More bytes before a body than any honest answer has."""


class Pace:
    """At least `least` bytes in each `window` seconds of waiting, and at most `limit` bytes after `begin(limit)`."""

    __slots__ = ("got", "least", "limit", "waited", "window")

    def __init__(self, window: float, least: int) -> None:
        self.window, self.least = window, least
        self.begin()

    def begin(self, limit: int = 0) -> None:
        """A new window. `limit` of 0: no limit."""
        self.waited, self.got, self.limit = 0.0, 0, limit

    def add(self, got: int, seconds: float) -> None:
        self.waited += seconds
        self.got += got
        if self.limit:
            self.limit -= got
            if self.limit <= 0:
                raise HeadTooLong
        if self.waited >= self.window:
            if self.got < self.least:
                raise TooSlow
            self.waited, self.got = 0.0, 0


class PacedSocket(socket.socket):
    pace = Pace(0.0, 0)  # asks for nothing, until there is one of its own

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        begun = monotonic()
        got = super().recv_into(buffer, nbytes, flags)
        self.pace.add(got, monotonic() - begun)
        return got


class PacedTls(ssl.SSLSocket):
    """Made by a context whose `sslsocket_class` it is."""

    pace = Pace(0.0, 0)  # asks for nothing, until there is one of its own

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        begun = monotonic()
        got = super().recv_into(buffer, nbytes, flags)
        self.pace.add(got, monotonic() - begun)
        return got


def paced(wire: socket.socket) -> PacedSocket | PacedTls:
    """`wire` as what it is."""
    assert isinstance(wire, PacedSocket | PacedTls)
    return wire
