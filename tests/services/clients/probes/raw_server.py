"""A server for tests of clients that must stand wrong answers: it sends the bytes it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.listeners import Address

HOST = "127.0.0.1"


@contextmanager
def serving() -> Iterator[Callable[..., Address]]:
    """`start(first, second)` answers the first connection with `first` and so on (None: never). Its address."""
    open_sockets: list[socket.socket] = []

    def start(*answers: bytes | None) -> Address:
        listener = socket.create_server((HOST, 0))
        open_sockets.append(listener)

        def run() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                open_sockets.append(connection)
                connection.recv(65536)
                if answer is not None:
                    with contextlib.suppress(OSError):  # the client may have heard enough
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=run, daemon=True).start()
        return Address(host=HOST, port=listener.getsockname()[1])

    yield start
    for each in open_sockets:
        each.close()


def body(text: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()
