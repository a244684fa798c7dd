"""Ports for the servers that tests start."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from typing import Final

WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
MINE: Final = range(22000 + 2500 * WORKER, 22000 + 2500 * (WORKER + 1))
"""Below those that Linux gives to clients (32768 and up), and above those of replicas: no connection takes one between
its choice and the start of its server."""
_given: set[int] = set()
_random: Final = random.Random(os.getpid())


def free_ports(count: int) -> list[int]:
    """Different ones, that nobody listens on and this process has not been given before."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = _random.choice(MINE)
        if port in _given:
            continue
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _given.add(port)
            chosen.append(port)
    return chosen
