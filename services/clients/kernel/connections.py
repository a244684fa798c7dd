"""The connections that clients on this machine hold to unix sockets, as the kernel tells: it asks nobody, so nobody
can hang.

Linux' `sock_diag` over netlink (linux/unix_diag.h), which needs no privilege and no other program. A connection is
known by the file of its socket: it makes no difference in which namespaces the server runs, or what it calls the file.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2
_SHOW_FILE = 0x2  # UDIAG_SHOW_VFS
_FILE = 1  # UNIX_DIAG_VFS: inode and device, 32 bits each
_ESTABLISHED = 1
ANONYMOUS = -1
_HEADER = struct.Struct("=IHHII")
_MESSAGE_BYTES = 16  # struct unix_diag_msg


def held(paths: Collection[str]) -> int | None:
    """How many are open to these sockets. None where the kernel does not tell."""
    try:
        files = {_file_of(path) for path in map(Path, paths) if path.exists()}
        return sum(file in files or (file[0], ANONYMOUS) in files for file in _files()) if files else 0
    except (OSError, AttributeError, struct.error):
        return None


def _file_of(path: Path) -> tuple[int, int]:
    """As the kernel names it: the low bits of the inode, and the device in its own encoding.

    Devices without a driver are compared by inode alone: Btrfs shows its own subvolumes here, and not there.
    """
    status = path.stat()
    major = os.major(status.st_dev)
    return status.st_ino & 0xFFFFFFFF, (major << 20 | os.minor(status.st_dev) if major else ANONYMOUS)


def _files() -> Iterator[tuple[int, int]]:
    """The server's side of each open connection."""
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 1 << _ESTABLISHED, 0, _SHOW_FILE, 0, 0)
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
                yield from _file_in(message[_MESSAGE_BYTES:])


def _file_in(attributes: bytes) -> Iterator[tuple[int, int]]:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _FILE:
            yield struct.unpack_from("=II", attributes, 4)
        attributes = attributes[max(4, (length + 3) & ~3) :]
