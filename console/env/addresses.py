"""Readers of environment variables that hold addresses, hosts, networks and URLs. See env.py.

A URL may have a password in it, so what is wrong with one is said without showing it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from console.env import BadSetting, names, refused, text

_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.I)
_LONGEST: Final = 253
_REDIS: Final = ("redis", "rediss", "redis+socket", "sentinel", "memory")
_POSTGRES: Final = ("postgres", "postgresql")


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Addresses and networks, separated by commas."""
    values = []
    for part in names(name):
        try:
            values.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            wrong = f"must hold IP addresses and networks, not {part!r}"
            raise refused(name, wrong, "127.0.0.1,10.0.0.0/8") from None
    return values


def address(name: str, default: str) -> str:
    """An IP address to listen on: the gateway takes no names."""
    raw = text(name) or default
    try:
        ipaddress.ip_address(raw)
    except ValueError:
        raise refused(name, f"must be an IP address of this machine, not {raw!r}", "0.0.0.0") from None  # noqa: S104
    return raw


def domain(name: str, default: str) -> str:
    raw = (text(name) or default).lower().strip(".")
    if not _is_domain(raw):
        raise refused(name, f"must be a domain, without scheme, port and asterisk, not {raw!r}", "models.example.com")
    return raw


def hosts(name: str, default: str) -> list[str]:
    """Host names as a browser sends them: a name, `.domain` for all below, an address, or `*` for any."""
    if not (values := names(name)):
        return [part for part in default.split(",") if part]
    for host in values:
        bare = host.removeprefix(".")
        if host != "*" and not _is_domain(bare) and not _is_bracketed(host):
            wrong = f"must hold host names without scheme, port and path, IPv6 addresses in brackets, not {host!r}"
            raise refused(name, wrong, "console.example.com,.example.org,[fd00::1]")
    return values


def origins(name: str) -> list[str]:
    """Origins as a browser sends them; `*.` may stand for all hosts below a domain."""
    values = names(name)
    for origin in values:
        parts = _split(origin)
        host = (parts.hostname or "").removeprefix("*.") if parts else ""
        good = parts and parts.scheme in {"http", "https"} and (_is_domain(host) or _is_bracketed(f"[{host}]"))
        if not good or not parts or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
            wrong = f"must hold origins, a scheme and a host without a path, not {origin!r}"
            raise refused(name, wrong, "https://console.example.com")
    return values


def database(name: str) -> SplitResult | None:
    """The parts of a postgres:// URL; None for an empty value."""
    return _url(name, _POSTGRES, "postgres://user:password@host:5432/name", needs_path=True)


def broker(name: str, default: str) -> str:
    """The URL of a Redis."""
    _url(name, _REDIS, "redis://host:6379/0", needs_path=False)
    return text(name) or default


def _url(name: str, schemes: tuple[str, ...], example: str, *, needs_path: bool) -> SplitResult | None:
    if not (raw := text(name)):
        return None
    parts = _split(raw)
    if parts is None:
        raise BadSetting(
            f"{name} cannot be read as a URL.",
            hint=f"For example {name}={example}. In a password, write @ as %40, / as %2F, [ as %5B and # as %23.",
        )
    if parts.scheme not in schemes:
        begins = f"not {parts.scheme}://" if "://" in raw else "and it has no scheme"
        raise refused(name, f"must start with {schemes[0]}://, {begins}", example)
    if parts.scheme != "memory" and "://" not in raw:
        raise refused(name, f"must have // after {parts.scheme}:", example)
    if needs_path and not parts.path.strip("/"):
        raise refused(name, "names no database", example)
    return parts


def _split(raw: str) -> SplitResult | None:
    """None for what is no URL, also by its port."""
    try:
        parts = urlsplit(raw)
        return None if parts.port == 0 or parts.fragment else parts
    except ValueError:
        return None


def _is_domain(host: str) -> bool:
    return len(host) <= _LONGEST and _DOMAIN.fullmatch(host) is not None


def _is_bracketed(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return host.startswith("[") and host.endswith("]")
