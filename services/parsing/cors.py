"""Which pages of other origins may call a service from a browser: the `cors` of a service as people send it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

from services.parsing.wrong import Wrong, only

FIELD: Final = "cors.allowed_origins"
EVERY: Final = "*"
MAX_ORIGINS: Final = 16
_ORIGIN: Final = re.compile(r"(https?)://([^/?#@\\]*?)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORTS: Final = {"http": 80, "https": 443}
_SHAPE: Final = "Must be the origin of a page as browsers send it, such as https://app.example or http://localhost:3000"


def parse_cors(data: Any, wrong: Wrong) -> tuple[str, ...]:
    """As browsers spell them: in lower case, without the port that the scheme has anyway."""
    if not isinstance(data, Mapping):
        wrong.add("cors", "Must be an object with allowed_origins.")
        return ()
    only(data, "cors", ("allowed_origins",), wrong)
    rows = data.get("allowed_origins") or []
    if not isinstance(rows, list | tuple):
        wrong.add(FIELD, "Must be a list of origins.")
        return ()
    if len(rows) > MAX_ORIGINS:
        wrong.add(FIELD, f"At most {MAX_ORIGINS}.")
        return ()
    origins = [_origin(row, f"{FIELD}.{index}", wrong) for index, row in enumerate(rows)]
    if EVERY in origins and len(origins) > 1:
        wrong.add(FIELD, "* is every page: leave the others out, or name them alone.")
    for index, origin in enumerate(origins):
        if origin and origin in origins[:index]:
            wrong.add(f"{FIELD}.{index}", f"{origin} is there more than once.")
    return tuple(origins)


def _origin(row: Any, field: str, wrong: Wrong) -> str:
    """The origin; "" when it is none."""
    text = row.strip() if isinstance(row, str) else ""
    if text == EVERY:
        return text
    if not text.isascii():
        wrong.add(
            field, "Write the name of the host as browsers send it: in ASCII, such as https://xn--bcher-kva.example."
        )
        return ""
    scheme, host, port = _parts(text.lower())
    if not host:
        wrong.add(field, f"{_SHAPE}: scheme, host and port, and nothing behind them.")
        return ""
    if EVERY in host:
        wrong.add(field, "A wildcard cannot be a part of it: name each origin, or * for every page.")
        return ""
    if not _is_host(host) or (port and not 1 <= int(port) <= 65535):
        wrong.add(field, f"{_SHAPE}.")
        return ""
    return f"{scheme}://{host}" + (f":{int(port)}" if port and int(port) != _PORTS[scheme] else "")


def _parts(text: str) -> tuple[str, str, str]:
    found = _ORIGIN.fullmatch(text)
    return (found[1], found[2], found[3] or "") if found else ("", "", "")


def _is_host(host: str) -> bool:
    if host.startswith("["):
        try:
            return host == f"[{ipaddress.IPv6Address(host[1:-1])}]" and host.endswith("]")
        except ValueError:
            return False
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))
