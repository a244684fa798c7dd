"""One request and the head of its answer on a connected socket, for answers as servers usually give them.

The standard library reads headers as if they were those of e-mail, line by line: for a small file that is more work
than everything else. Here httptools reads a usual answer (HTTP/1.1, one Content-Length, nothing odd); anything else is
given to the standard library with the bytes that came already, so it decides what is HTTP and what is not.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Mapping
from http.client import HTTPMessage, HTTPResponse, RemoteDisconnected
from typing import TYPE_CHECKING, Final, cast

import httptools

from datasets.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FIRST: Final = 32 << 10
"""Bytes asked for at first: a small file comes with its head."""
# httptools skips empty lines before the status line, and control characters in its reason.
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_MAX_HEADERS: Final = 100  # this and the next as the standard library has them
_MAX_LINE: Final = 65536
_END: Final = b"\r\n\r\n"


class Sized:
    """The answer's status, headers and body of a known length, with the manners of `HTTPResponse`."""

    will_close = False

    def __init__(self, status: int, headers: HTTPMessage, length: int, begun: memoryview, wire: socket.socket) -> None:
        self.status, self.headers, self.length = status, headers, length
        self._begun, self._wire = begun[:length], wire

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As much as fits, or as is left; less only when the connection ends early."""
        view = memoryview(buffer).cast("B")[: self.length]
        got = min(len(self._begun), len(view))
        if got:
            view[:got] = self._begun[:got]
            self._begun = self._begun[got:]
        while got < len(view) and (more := self._wire.recv_into(view[got:])):
            got += more
        self.length -= got
        return got

    def isclosed(self) -> bool:
        return not self.length

    def close(self) -> None:
        """The connection is not closed here, as with `HTTPResponse`."""


def send(wire: socket.socket, method: str, target: str, headers: Mapping[str, str]) -> None:
    """Raises SourceError for what would not stay on its line."""
    if not (target.isascii() and target.isprintable()) or " " in target:
        raise SourceError("The address has a character in it that no request can have.")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers.items():
        if not value.isprintable():
            raise SourceError(f"The header {name} has a character in it that no request can have.")
        lines.append(f"{name}: {value}")
    wire.sendall("\r\n".join((*lines, "", "")).encode("latin-1"))


def receive(wire: socket.socket, method: str) -> Sized | HTTPResponse:
    """Raises OSError and HTTPException as `HTTPConnection.getresponse` does."""
    buffer = bytearray(_FIRST)
    got, end = 0, -1
    while end < 0:
        if got == len(buffer):
            buffer.extend(bytes(len(buffer)))
        with memoryview(buffer) as view:
            more = wire.recv_into(view[got:])
        if not more:
            if not got:
                raise RemoteDisconnected("Remote end closed connection without response")
            break  # the standard library says what is missing
        end = buffer.find(_END, max(0, got - 3), got + more)
        got += more
    came = memoryview(buffer)[:got]
    if 0 <= end <= _MAX_LINE and method == "GET" and (head := _usual(bytes(came[:end]))) is not None:
        status, headers, length = head
        return Sized(status, headers, length, came[end + len(_END) :], wire)
    response = HTTPResponse(cast(socket.socket, _Replay(came, wire)), method=method)
    try:
        response.begin()
    except BaseException:
        response.close()
        raise
    return response


def _usual(head: bytes) -> tuple[int, HTTPMessage, int] | None:
    """Status, headers and Content-Length; None for a head with anything in it that needs thought."""
    status = _STATUS.match(head)
    if status is None or status[1] in {b"204", b"304"}:
        return None
    fields = _Fields()
    try:
        httptools.HttpResponseParser(fields).feed_data(head + _END)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    headers, length = HTTPMessage(), ""
    for name, value in fields:
        lower = name.lower()
        if lower == "content-length":
            if length or not (value.isascii() and value.isdecimal()):
                return None
            length = value
        elif lower == "transfer-encoding" or (lower == "connection" and value.lower() != "keep-alive"):
            return None
        headers.set_raw(name, value)
    return (int(status[1]), headers, int(length)) if length and len(fields) <= _MAX_HEADERS else None


class _Fields(list[tuple[str, str]]):
    """The headers of a head, as httptools finds them."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name.decode("latin-1"), value.decode("latin-1")))


class _Replay(io.RawIOBase):
    """What came already, then the socket: in the place of the socket that HTTPResponse reads from."""

    def __init__(self, came: memoryview, wire: socket.socket) -> None:
        self._came, self._wire = came, wire

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._came:
            return self._wire.recv_into(view)
        got = min(len(self._came), len(view))
        view[:got] = self._came[:got]
        self._came = self._came[got:]
        return got
