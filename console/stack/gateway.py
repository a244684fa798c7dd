"""The gateway as one program of the stack: the only place where the stack and services/gateway meet."""

from __future__ import annotations

from console.home import Home
from console.stack.programs import StackProgram
from services.gateway import binary
from services.gateway.envoy import names


def program(home: Home, *, workers: int | None = None) -> StackProgram:
    """Its files are made by services/control/publishing.py, before it starts and whenever one is missing.

    `workers`: threads; by default as many as `binary.argv` says.
    """
    command = binary.argv(home.gateway, binary.find_envoy(), concurrency=workers)
    sockets = (home.gateway_egress, home.gateway / names.ADMIN_SOCKET)
    return StackProgram("gateway", tuple(command), home.run / "gateway", sockets=sockets)
