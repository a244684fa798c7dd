"""The folder of the bridge's two sockets: whoever cannot open it is not the gateway, so it is the owner's only."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sockets:
    http: Path
    """HTTP/1.1."""
    grpc: Path
    """gRPC: HTTP/2 with prior knowledge."""


class Taken(Exception):
    """Another bridge serves in this folder."""


@contextmanager
def claimed(folder: Path) -> Iterator[Sockets]:
    """The folder is this process's until the block ends, and no socket file is in it. Raises Taken.

    A killed process leaves its socket files, and nobody listens there: under the lock they are known to be stale.
    The kernel lets go of the lock however this process ends.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    sockets = Sockets(folder / "http.sock", folder / "grpc.sock")
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(f"Another bridge already serves in {folder}.") from None
        _remove(sockets)
        yield sockets
        _remove(sockets)
    finally:
        os.close(descriptor)


def _remove(sockets: Sockets) -> None:
    for path in (sockets.http, sockets.grpc):
        path.unlink(missing_ok=True)
