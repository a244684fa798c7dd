"""Which pages of other origins may call a service from a browser."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Final

from services.schema.kinds import Kind, refuse
from services.schema.structure import refuse_all, repeated

EVERY: Final = "*"
MAX_ORIGINS: Final = 16
_ORIGIN: Final = re.compile(r"(https?)://([^/?#@\\]*?)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORTS: Final = {"http": 80, "https": 443}
_SHAPE: Final = "Must be the origin of a page as browsers send it, such as https://app.example or http://localhost:3000"


@dataclass(frozen=True)
class Origin(Kind):
    """As browsers spell it: in lower case, without the port that the scheme has anyway."""

    def check(self, value: Any) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if text == EVERY:
            return text
        if not text.isascii():
            refuse("Write the name of the host as browsers send it: in ASCII, such as https://xn--bcher-kva.example.")
        scheme, host, port = _parts(text.lower())
        if not host:
            refuse(f"{_SHAPE}: scheme, host and port, and nothing behind them.")
        if EVERY in host:
            refuse("A wildcard cannot be a part of it: name each origin, or * for every page.")
        if not _is_host(host) or (port and not 1 <= int(port) <= 65535):
            refuse(f"{_SHAPE}.")
        return f"{scheme}://{host}" + (f":{int(port)}" if port and int(port) != _PORTS[scheme] else "")


def differ(origins: tuple[str, ...]) -> tuple[str, ...]:
    if EVERY in origins and len(origins) > 1:
        refuse("* is every page: leave the others out, or name them alone.")
    refuse_all(repeated(origins))
    return origins


def _parts(text: str) -> tuple[str, str, str]:
    match = _ORIGIN.fullmatch(text)
    return (match[1], match[2], match[3] or "") if match else ("", "", "")


def _is_host(host: str) -> bool:
    if host.startswith("["):
        try:
            return host == f"[{ipaddress.IPv6Address(host[1:-1])}]" and host.endswith("]")
        except ValueError:
            return False
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))
