"""The bytes of an HTTP answer, straight from the socket, as the contract's Body."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from io import RawIOBase
from typing import TYPE_CHECKING

from datasets.errors import SourceChanged, SourceError
from datasets.sources.net.errors import broken
from datasets.sources.net.response import Sized
from datasets.sources.net.url import Url

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class HttpBody(RawIOBase):
    """Read by one thread; any other may call `close`.

    `done(reusable)` is called once, when the connection is no longer needed: with True after the last byte.
    A body of another length than `must_be` (bytes, once known) raises SourceChanged with `name`.
    """

    def __init__(
        self, response: Sized | HTTPResponse, wire: socket.socket, url: Url, done: Callable[[bool], None]
    ) -> None:
        super().__init__()
        self._response, self._wire, self._url = response, wire, url
        self._done: Callable[[bool], None] | None = done
        self._lock = threading.Lock()
        self._reading = False
        self._owed: Callable[[bool], None] | None = None
        """`done`, when another thread closed while one was reading, which has to call it then."""
        self._count = 0
        self._expected: int | None = None
        self._name = ""
        if response.length == 0:  # there is no body, which for HEAD and 204 is so whatever the headers say
            response.close()
            self._finish(True)

    def must_be(self, size: int, name: str) -> None:
        self._expected, self._name = size, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As much as fits, or as is left: few calls move many bytes. Raises SourceError."""
        if self._done is None:
            if self.closed:
                raise self._closed()
            self._require_size()
            return 0
        view = memoryview(buffer)
        if not view:
            return 0
        got = self._take(view)
        self._count += got
        if not got or self._response.isclosed():
            self._finish(True)
            self._require_size()
        elif self._expected is not None and self._count > self._expected:
            self._finish(False)
            raise SourceChanged(self._name)
        elif self._count == self._expected:
            # No length was announced: the end is only known when the server says so, and the reader may not ask again.
            if self._take(memoryview(bytearray(1))):
                self._finish(False)
                raise SourceChanged(self._name)
            self._finish(True)
        return got

    def readall(self) -> bytes:
        parts = []
        while part := self.read(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._finish(False)

    def _take(self, view: memoryview) -> int:
        with self._lock:
            if self._done is None:
                raise self._closed()
            self._reading = True
        try:
            try:
                got = self._response.readinto(view)
            finally:
                self._read()
        except (OSError, HTTPException) as error:
            self._finish(False)
            if self.closed:
                raise self._closed() from error
            raise broken(self._url, error) from error
        if self.closed:  # the end that our own shutdown made looks like the server's
            raise self._closed()
        if not got and self._response.length:
            self._finish(False)
            raise broken(self._url, ConnectionResetError())
        return got

    def _require_size(self) -> None:
        if self._expected is not None and self._count != self._expected:
            raise SourceChanged(self._name)

    def _read(self) -> None:
        """This thread is no longer in the socket."""
        with self._lock:
            self._reading = False
            owed, self._owed = self._owed, None
        if owed is not None:
            self._response.close()
            owed(False)

    def _finish(self, whole: bool) -> None:
        """Lets go of the connection, once. A thread that waits for bytes of it wakes up.

        That one then closes it: the number of a closed socket could be another one's before it has woken up.
        """
        with self._lock:
            done, self._done = self._done, None
            if done is None:
                return
            if not whole:
                with suppress(OSError):
                    # Shut down the plain socket under TLS too: TLS's own shutdown would wait for the other side.
                    socket.socket.shutdown(self._wire, socket.SHUT_RDWR)
            if self._reading:
                self._owed = done
                return
        if not whole:
            self._response.close()
        done(whole)

    def _closed(self) -> SourceError:
        return SourceError(f"Reading from {self._url.authority} was given up.", permanent=False)
