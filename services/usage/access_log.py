"""Keeps the gateway's access log from filling the disk. What is in its lines is the gateway's own matter.

A file is removed only once metering has counted all of it.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from console import room
from services.clients.envoy_admin import EnvoyAdmin
from services.gateway import locks
from services.gateway.envoy import names
from services.usage import metering

LIMIT = 64 << 20
KEPT = 3
WAIT_SECONDS = 10.0


def rotate(gateway_dir: Path | None = None, *, limit: int = LIMIT, kept: int = KEPT) -> bool:
    """access.log -> access.log.1 -> .2 -> .3 -> gone, once it is larger than `limit` bytes. Whether it was.

    More than `kept` old ones stay for as long as they are not counted.
    Raises GatewayError when Envoy cannot be told. It then goes on in access.log.1, until a later call tells it.
    """
    directory = gateway_dir or settings.HOME.gateway
    log = directory / names.ACCESS_LOG
    with locks.exclusive(directory, locks.LOG, WAIT_SECONDS):
        # Not on a full disk: the new file would have none of the room that is set aside (console/stack/reserve.py).
        large = log.exists() and log.stat().st_size > limit and room.measure(directory).problem is None
        if large:
            _shift(directory)
        if not log.exists() and (_numbered(log, 1).exists() or _is_ready(directory)):
            EnvoyAdmin(directory / names.ADMIN_SOCKET).reopen_logs()
        _remove(directory, kept)
    return large


def _is_ready(directory: Path) -> bool:
    """Somebody removed the log that the gateway writes to."""
    return EnvoyAdmin(directory / names.ADMIN_SOCKET).ready()


def _shift(directory: Path) -> None:
    """The oldest first, so that none is written over."""
    for path in metering.log_files(directory):
        number = int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0
        path.replace(_numbered(directory / names.ACCESS_LOG, number + 1))


def _remove(directory: Path, kept: int) -> None:
    for path in metering.log_files(directory):
        if path.suffix[1:].isdigit() and int(path.suffix[1:]) > kept and metering.finished(path):
            path.unlink(missing_ok=True)


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
