"""A network of the test's own, for what stands outside of the boxes: with an interface, and a metadata service on lo.

No address outside is ever tried, and the machine's own network stays as it is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CLONE_NEWNET: Final = 0x40000000
HERE: Final = "/proc/thread-self/ns/net"
METADATA: Final = "169.254.169.254"
ELSEWHERE: Final = "10.99.0.1"
INTERFACE: Final = "outside0"
COMMANDS: Final = (
    "link set lo up",
    f"addr add {METADATA}/32 dev lo",
    f"link add {INTERFACE} type veth peer name outside1",
    f"addr add {ELSEWHERE}/24 dev {INTERFACE}",
    f"link set {INTERFACE} up",
)
libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network() -> Iterator[str]:
    """The block runs in it, in this thread, and so does what it starts. Yields why there is none; "" when there is."""
    outside = os.open(HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _enter()
    finally:
        _set(outside)
        os.close(outside)


def _enter() -> str:
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"no network namespace of its own: {os.strerror(ctypes.get_errno())}"
    for command in COMMANDS:
        try:
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, timeout=20, check=False)
        except FileNotFoundError:
            return "no program `ip`"
        if done.returncode:
            return f"ip {command}: {done.stderr.strip()}"
    return ""


def _set(descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
