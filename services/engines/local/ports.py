"""Finds free loopback ports for replicas. Who holds which port is written down by the caller; this only looks."""

from __future__ import annotations

import socket
from collections.abc import Set

from services.errors import EngineError

FIRST, LAST = 18000, 19999
"""Below Linux's range for outgoing connections (32768 and up), so that none of those takes one meanwhile."""


def allocate(count: int, taken: Set[int], *, first: int = FIRST, last: int = LAST) -> list[int]:
    """The lowest `count` ports of first..last that are not in `taken` and that nothing listens on."""
    found: list[int] = []
    for port in range(first, last + 1):
        if len(found) == count:
            break
        if port not in taken and is_free(port):
            found.append(port)
    if len(found) < count:
        raise EngineError(
            f"No {count} free ports are left between {first} and {last}.", hint="Stop a service, or widen the range."
        )
    return found


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
