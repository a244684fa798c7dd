"""The connections that a server on this machine holds, as the kernel tells: it asks nobody, so nobody can hang.

Linux' `sock_diag` over netlink (linux/inet_diag.h), which needs no privilege and no other program.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2
_INFO = 2  # INET_DIAG_INFO: struct tcp_info
_ESTABLISHED = 1
_HEADER = struct.Struct("=IHHII")
_MESSAGE_BYTES = 72  # struct inet_diag_msg
_BYTES_ACKED = 120  # offset of tcpi_bytes_acked, since Linux 4.1


@dataclass(frozen=True)
class Held:
    """`sent` bytes have been taken by the other side, over all connections that are open now."""

    connections: int = 0
    sent: int = 0


def held(ports: Collection[int]) -> Held | None:
    """What is open at these local ports, on their server's side. None where the kernel does not tell."""
    try:
        bytes_sent = [sent for family in (socket.AF_INET, socket.AF_INET6) for sent in _sent(family, frozenset(ports))]
    except (OSError, AttributeError, struct.error):
        return None
    return Held(len(bytes_sent), sum(bytes_sent))


def _sent(family: int, ports: frozenset[int]) -> Iterator[int]:
    """For each open connection at one of the ports."""
    request = struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, 1 << _ESTABLISHED)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1)
        kernel.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0) + request)
        while True:
            data = kernel.recv(1 << 18)
            while data:
                length, kind, *_ = _HEADER.unpack_from(data)
                if kind == _DONE:
                    return
                if kind == _ERROR or length < _HEADER.size:
                    raise OSError("the kernel does not tell of connections")
                message, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
                if struct.unpack_from("!H", message, 4)[0] in ports:
                    yield _acked(message[_MESSAGE_BYTES:])


def _acked(attributes: bytes) -> int:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _INFO and length >= 4 + _BYTES_ACKED + 8:
            return int(struct.unpack_from("=Q", attributes, 4 + _BYTES_ACKED)[0])
        attributes = attributes[max(4, (length + 3) & ~3) :]
    return 0
