"""Who writes into the gateway's folder, over all processes of this machine. Nobody waits for a lock without a limit."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.errors import GatewayError

SERVICES: Final = ".publish.lock"
"""Held for as long as Envoy checks a configuration, and for new replicas to be probed: some ten seconds at the most."""
KEYS: Final = ".keys.lock"
"""Held for a fraction of a second."""
LOG: Final = ".log.lock"
"""Held while the access log is rotated."""
_LOOK_SECONDS: Final = 0.02


@contextmanager
def exclusive(gateway_dir: Path, name: str, seconds: float) -> Iterator[None]:
    """Raises GatewayError when others hold the lock for longer than `seconds`."""
    gateway_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(gateway_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _take(lock):
            if time.monotonic() > deadline:
                raise GatewayError(f"Another process has been publishing to the gateway for more than {seconds:g} s.")
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(lock)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
