"""Whether the parts of the stack answer, asked over the wire with the standard library."""

from __future__ import annotations

import socket
from pathlib import Path

from console.stack.addresses import reachable


def redis_answers(path: Path) -> bool:
    """PING gets PONG: it also says no while it loads its file after a start."""
    return redis_reply(path, 2).startswith("+PONG")


def redis_reply(path: Path, timeout: float) -> str:
    """The beginning of what it says to PING, also an error such as `-MISCONF`; "" when it says nothing."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).decode("ascii", "replace")
    except OSError:
        return ""


def accepts(path: Path) -> bool:
    """Whether something takes connections on the socket file: one that a killed process left does not."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
            return True
    except OSError:
        return False


def listens(host: str, port: int) -> bool:
    """Whether something takes connections there. For a wildcard address, loopback is asked."""
    try:
        with socket.create_connection((reachable(host), port), timeout=2):
            return True
    except OSError:
        return False


def is_bindable(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
