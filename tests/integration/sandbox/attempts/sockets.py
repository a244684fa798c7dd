"""Sockets of others, and networks."""

# Not pathlib: what is tried are the kernel's own paths and descriptors.
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from . import Targets, attempt, several

SECONDS = 2
RTM_NEWLINK, RTM_GETLINK, NLMSG_DONE, DUMP = 16, 18, 3, 0x301
IFLA_IFNAME = 3


def connect(family: int, address: Any) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(SECONDS)
        client.connect(address)
        return f"connected to {address!r}"


several(
    "socket",
    {
        name: name
        for name in (
            *("redis", "supervisord", "envoy_admin", "envoy_egress", "bridge_http", "bridge_grpc", "other_replica"),
            "other_replica_by_its_folder",
        )
    },
    lambda targets, name: connect(socket.AF_UNIX, targets["sockets"][name]),
)
several(
    "port",
    {name: name for name in ("console", "gateway", "console_v6", "gateway_elsewhere", "metadata")},
    lambda targets, name: connect(
        socket.AF_INET6 if ":" in targets["ports"][name][0] else socket.AF_INET, tuple(targets["ports"][name])
    ),
)


@attempt
def abstract_socket(targets: Targets) -> str:
    """It has no file: only the namespace of the network bounds it."""
    return connect(socket.AF_UNIX, f"\0{targets['abstract']}")


@attempt
def datagram(targets: Targets) -> str:
    """A name server's door."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS)
        client.sendto(b"?", tuple(targets["ports"]["datagram"]))
        return client.recv(80).decode()


@attempt
def raw_socket(targets: Targets) -> str:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "a raw socket"


@attempt
def packet_socket(targets: Targets) -> str:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()
    return "a packet socket"


@attempt
def socket_of_the_hypervisor(targets: Targets) -> str:
    """No namespace bounds it: it leads to the host of a virtual machine, and to all in it that listen."""
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    return "a vsock"


@attempt
def rare_socket_families(targets: Targets) -> str:
    """Each would load a module of the kernel."""
    families = []
    for family in range(1, 46):
        if family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
            continue
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            families.append(str(family))
            break
    return " ".join(families) if targets["boxed"] else ""


def _links() -> list[str]:
    """Names of the network's interfaces, as the kernel itself tells them."""
    names = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        link.settimeout(SECONDS)
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        link.send(struct.pack("=IHHII", 16 + len(body), RTM_GETLINK, DUMP, 1, 0) + body)
        while True:
            data = link.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind != RTM_NEWLINK:
                    return names
                names += _attributes(data[32:length])
                data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> list[str]:
    names = []
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if kind == IFLA_IFNAME:
            names.append(data[4:length].rstrip(b"\0").decode())
        data = data[max(4, (length + 3) & ~3) :]
    return names


@attempt
def interfaces_by_netlink(targets: Targets) -> str:
    return " ".join(name for name in _links() if name in targets["interfaces"])


@attempt
def interfaces_in_sys(targets: Targets) -> str:
    return " ".join(name for name in os.listdir("/sys/class/net") if name in targets["interfaces"])


def _lines(path: str, text: str) -> str:
    with open(path, encoding="latin-1") as file:
        return " ".join(line.strip() for line in file if text in line)


@attempt
def connections_of_others(targets: Targets) -> str:
    return _lines("/proc/net/tcp", f":{targets['ports']['console'][1]:04X} ")


@attempt
def names_of_sockets(targets: Targets) -> str:
    return _lines("/proc/net/unix", targets["home"])


@attempt
def folders_of_other_replicas(targets: Targets) -> str:
    """Beside its own."""
    return " ".join(name for name in os.listdir("..") if name.startswith("svc-") and name != targets["name"])
