"""Who writes into the gateway's folder, over all processes of this machine. Nobody waits for a lock without a limit."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from console.files import locked
from services.errors import GatewayError

SERVICES: Final = ".publish.lock"
"""Held for as long as Envoy checks a configuration, and for new replicas to be probed: some ten seconds at the most."""
KEYS: Final = ".keys.lock"
"""Held for a fraction of a second."""
LOG: Final = ".log.lock"
"""Held while the access log is rotated."""


def exclusive(gateway_dir: Path, name: str, seconds: float) -> AbstractContextManager[None]:
    """Raises GatewayError when others hold the lock for longer than `seconds`."""
    gateway_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    busy = GatewayError(f"Another process has been publishing to the gateway for more than {seconds:g} s.")
    return locked(gateway_dir / name, seconds, busy)
