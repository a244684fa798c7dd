"""The gateway as one program of the stack: the only place where the stack and services/gateway meet."""

from __future__ import annotations

from console.home import Home
from console.stack.programs import Doors, StackProgram
from services.gateway import binary, publish
from services.gateway.envoy.tls import Tls
from services.gateway.snapshot import Limits


def program(
    home: Home, doors: Doors, limits: Limits, tls: Tls | None = None, *, workers: int | None = None
) -> StackProgram:
    """Also writes what Envoy needs to start; what was published earlier stays, so it serves before the console does.

    `workers`: threads; by default as many as `binary.argv` says. Raises GatewayError for a certificate that cannot be
    used.
    """
    publish.prepare(
        home.gateway, host=doors.bind, port=doors.gateway_port, limits=limits, bridge_dir=home.bridge, tls=tls
    )
    command = binary.argv(home.gateway, binary.find_envoy(), concurrency=workers)
    return StackProgram("gateway", tuple(command), home.run / "gateway")
