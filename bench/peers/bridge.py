"""The bridge, as the product starts it, beside a gateway directory: its table and its egress socket are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.targets.servers import process
from console.home import CHECKOUT, Home
from console.stack.programs import bridge as program
from services.clients.unix_http import UnixConnection


@contextmanager
def bridge(home: Home) -> Iterator[int]:
    """Its pid. The gateway must have been started in `home.gateway` before."""
    started = program(home)
    at = home.root / "bridge-log"
    at.mkdir()

    def ready() -> bool:
        try:
            connection = UnixConnection(home.bridge_http, 5)
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    with process(started.argv, at, ready, cwd=CHECKOUT) as running:
        yield running.pid
