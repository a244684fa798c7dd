"""Finds free loopback ports for replicas. Who holds which port is written down by the caller; this only looks."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Set

from services.errors import EngineError

FIRST, LAST = 18000, 19999
"""Below Linux's range for outgoing connections (32768 and up), so that none of those takes one meanwhile."""


def allocate(count: int, taken: Set[int], *, first: int = FIRST, last: int = LAST, near: str = "") -> list[int]:
    """`count` ports of first..last that are not in `taken` and that nothing listens on.

    A replica that is down for a moment does not hold its ports, so consoles that run side by side must not look for
    theirs in the same place: each passes its home as `near` and begins at a place of its own. Without it, at `first`.
    """
    size = last - first + 1
    start = zlib.crc32(near.encode()) % max(1, size) if near else 0
    ports: list[int] = []
    for port in (first + (start + step) % size for step in range(size)):
        if len(ports) == count:
            break
        if port not in taken and is_free(port):
            ports.append(port)
    if len(ports) < count:
        raise EngineError(
            f"No {count} free ports are left between {first} and {last}.", hint="Stop a service, or widen the range."
        )
    return ports


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
