"""The gateway as one program of the stack: the only place where the stack and services/gateway meet."""

from __future__ import annotations

from console.home import Home
from console.stack.programs import Doors, StackProgram
from services.gateway import binary, publish
from services.gateway.snapshot import Limits


def program(home: Home, doors: Doors, limits: Limits) -> StackProgram:
    """Also writes what Envoy needs to start; what was published earlier stays, so it serves before the console does."""
    publish.prepare(home.gateway, host=doors.bind, port=doors.gateway_port, limits=limits)
    return StackProgram("gateway", tuple(binary.argv(home.gateway, binary.find_envoy())), home.run / "gateway")
