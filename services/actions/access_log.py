"""Keeps the gateway's access log from filling the disk. What is in its lines is the gateway's own matter."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from services.clients.envoy_admin import EnvoyAdmin
from services.gateway.envoy import names
from services.gateway.publish import exclusive

LIMIT = 64 << 20
KEPT = 3


def rotate(gateway_dir: Path | None = None, *, limit: int = LIMIT, kept: int = KEPT) -> bool:
    """access.log -> access.log.1 -> .2 -> .3 -> gone, once it is larger than `limit` bytes. Whether it was.

    Raises GatewayError when Envoy cannot be told. It then goes on in access.log.1, until a later call tells it.
    """
    directory = gateway_dir or settings.HOME.gateway
    log = directory / names.ACCESS_LOG
    with exclusive(directory):
        large = log.exists() and log.stat().st_size > limit
        if large:
            _shift(log, kept)
        if not log.exists() and _numbered(log, 1).exists():
            EnvoyAdmin(directory / names.ADMIN_SOCKET).reopen_logs()
    return large


def _shift(log: Path, kept: int) -> None:
    for number in range(kept - 1, 0, -1):
        if _numbered(log, number).exists():
            _numbered(log, number).replace(_numbered(log, number + 1))
    log.replace(_numbered(log, 1))


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
