"""A TCP relay in front of a real server: for clients that know no unix sockets, and for what a restart looks like, when
a test closes its listener and opens it again.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from services.listeners import Address


class Relay:
    """Passes bytes both ways between its own port and `target`."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._open: list[socket.socket] = []
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """At the port that it had before, if it had one."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Connections are refused from now on, and those that are open end."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = _connect(self._target)
            self._open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _connect(address: Address) -> socket.socket:
    if not address.path:
        return socket.create_connection((address.host, address.port))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address.path)
    return connection


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
