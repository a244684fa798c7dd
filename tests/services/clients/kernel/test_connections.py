"""The kernel's own account of real connections."""

from __future__ import annotations

import socket

from services.clients.kernel.connections import Held, held
from tests.ports import free_ports
from tests.servers.gateway.rig import until


def test_open_connections_and_what_was_sent_over_them_are_counted_at_the_servers_side() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert held([port]) == Held()
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with accepted:
                before = held([port])
                assert before is not None
                assert before.connections == 1
                accepted.sendall(b"x" * 1000)
                client.recv(1000, socket.MSG_WAITALL)
                until(lambda: held([port]) == Held(1, before.sent + 1000))
                assert held(free_ports(1)) == Held(), "other ports are not counted"
        until(lambda: held([port]) == Held())


def test_connections_over_ipv6_are_counted_too() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("::1", port)):
            accepted, _ = server.accept()
            with accepted:
                traffic = held([port])
                assert traffic is not None
                assert traffic.connections == 1
