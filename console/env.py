"""Typed readers for environment variables. Every value may also come from a file named by NAME_FILE."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from pathlib import Path

from console.errors import ConsoleError


class BadSetting(ConsoleError):
    code = "bad_setting"
    status = 500


def text(name: str, default: str = "") -> str:
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadSetting(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error
    return os.environ.get(name, default)


def integer(name: str, default: int) -> int:
    raw = text(name, str(default))
    try:
        return int(raw)
    except ValueError as error:
        raise BadSetting(f"{name} must be a whole number, not {raw!r}.") from error


def bounded(name: str, default: int, least: int, most: int) -> int:
    value = integer(name, default)
    if not least <= value <= most:
        raise BadSetting(f"{name} must be between {least} and {most}, not {value}.")
    return value


def port(name: str, default: int) -> int:
    value = integer(name, default)
    if not 0 < value < 65536:
        raise BadSetting(f"{name} must be a port between 1 and 65535, not {value}.")
    return value


def boolean(name: str, default: bool = False) -> bool:
    raw = text(name, str(default)).lower()
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off", ""}:
        return False
    raise BadSetting(f"{name} must be true or false, not {raw!r}.")


def names(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Addresses and networks, separated by commas."""
    try:
        return [ipaddress.ip_network(part, strict=False) for part in names(name)]
    except ValueError as error:
        raise BadSetting(f"{name} must hold addresses or networks as 10.0.0.0/8: {error}.") from error


def fernet_keys(name: str) -> list[str]:
    """Keys for `cryptography.fernet`, separated by commas. What is wrong with one is said without showing it."""
    keys = names(name)
    for number, key in enumerate(keys, start=1):
        try:
            good = len(base64.b64decode(key, altchars=b"-_", validate=True)) == 32
        except (binascii.Error, ValueError):
            good = False
        if not good:
            raise BadSetting(
                f"Key {number} of {name} is not 32 bytes in URL-safe base64.",
                hint="Make one with: openssl rand -base64 32 | tr '+/' '-_'",
            )
    return keys
