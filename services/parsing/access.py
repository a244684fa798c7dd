"""Who may call a service, with which headers, and how much: the `auth` and `limits` of a service as people send it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.gateway.envoy.names import INTERNAL_HEADERS
from services.parsing.wrong import Wrong, only, whole
from services.specs import ServiceLimits

POLICIES: Final = ("api_key", "public")
MAX_HEADER: Final = 64
MAX_VALUE: Final = 256
MAX_PARAMETERS: Final = 8
LARGEST_PAYLOAD_MIB: Final = 1024
"""Of any gateway. What this one takes is looked at where its settings are known."""
LIMITS: Final = {
    "max_payload_mib": (1, LARGEST_PAYLOAD_MIB),
    "timeout_seconds": (1, 3600),
    "concurrency": (1, 4096),
    "stall_seconds": (5, 3600),
}

HEADER: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""In lower case, what both HTTP and gRPC take. No underscore: servers on the way take it for a hyphen, or drop it."""
PRINTABLE: Final = re.compile(r"[ -~]*")
TAKEN: Final = frozenset(
    {
        # What the gateway itself reads a key from.
        "authorization",
        "x-api-key",
        # Of HTTP: where a request goes, and how it is sent.
        "host",
        "cookie",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "expect",
        "date",
        "via",
        "origin",
        "referer",
        "range",
        "user-agent",
        "cache-control",
        "pragma",
        "max-forwards",
        # Of Triton, which says in one where the tensors begin.
        "inference-header-content-length",
        # Written by the gateway.
        *INTERNAL_HEADERS,
        "x-request-id",
        "x-prompt-tokens",
        "x-completion-tokens",
        "x-retry-after",
    }
)
TAKEN_PREFIXES: Final = (
    "content-",
    "accept",
    "grpc-",
    "proxy-",
    "sec-",
    "if-",
    "access-control-",
    "forwarded",
    "x-forwarded-",
    "x-envoy-",
    "x-console-",
    "x-ratelimit-",
    "mm-",
    "triton-",
)


@dataclass(frozen=True)
class Auth:
    """As in ServiceSpec."""

    policy: str = "api_key"
    header: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


def parse_auth(data: Any, wrong: Wrong) -> Auth:
    if not isinstance(data, Mapping):
        wrong.add("auth", "Must be an object with policy, header and parameters.")
        return Auth()
    only(data, "auth", ("policy", "header", "parameters"), wrong)
    policy = data.get("policy", "api_key")
    if not isinstance(policy, str) or policy not in POLICIES:
        wrong.add("auth.policy", f"Must be one of: {', '.join(POLICIES)}.")
        policy = "api_key"
    header = _own_header(data.get("header"), wrong)
    if header and policy == "public":
        wrong.add("auth.header", "A public service asks for no key, so nobody would read it: leave this empty.")
    parameters = _parameters(data.get("parameters"), wrong)
    for index, (name, _) in enumerate(parameters):
        if name and name == header:
            wrong.add(f"auth.parameters.{index}.name", f"{name} is the header of the API key: choose another.")
    return Auth(policy, header, parameters)


def _own_header(value: Any, wrong: Wrong) -> str:
    if value in (None, ""):
        return ""
    return _header(value, "auth.header", wrong)


def _header(value: Any, field: str, wrong: Wrong) -> str:
    """The name in lower case; "" when it cannot be had."""
    name = value.strip().lower() if isinstance(value, str) and value.isascii() else ""
    if len(name) > MAX_HEADER or not HEADER.fullmatch(name):
        allowed = f"letters, digits and hyphens, at most {MAX_HEADER} characters"
        wrong.add(field, f"Must be the name of an HTTP header, such as x-tenant: {allowed}.")
        return ""
    if name in TAKEN or name.startswith(TAKEN_PREFIXES):
        wrong.add(field, f"{name} has a meaning of its own on the way to a service: choose another, such as x-tenant.")
        return ""
    if name.endswith("-bin"):
        wrong.add(field, "gRPC takes headers that end with -bin for binary: choose another name.")
        return ""
    return name


def _parameters(rows: Any, wrong: Wrong) -> tuple[tuple[str, str], ...]:
    field = "auth.parameters"
    if not isinstance(rows or [], list | tuple):
        wrong.add(field, "Must be a list of {name, value}.")
        return ()
    if len(rows or ()) > MAX_PARAMETERS:
        wrong.add(field, f"At most {MAX_PARAMETERS}.")
        return ()
    made = [_parameter(row, f"{field}.{index}", wrong) for index, row in enumerate(rows or ())]
    seen: set[str] = set()
    for index, (name, _) in enumerate(made):
        if name in seen:
            wrong.add(f"{field}.{index}.name", f"{name} is there more than once.")
        seen.add(name or f"({index})")
    return tuple(made)


def _parameter(row: Any, field: str, wrong: Wrong) -> tuple[str, str]:
    if not isinstance(row, Mapping):
        wrong.add(field, "Must be an object with name and value.")
        return "", ""
    only(row, field, ("name", "value"), wrong)
    value = row.get("value")
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > MAX_VALUE or not PRINTABLE.fullmatch(text):
        wrong.add(f"{field}.value", f"Must be 1 to {MAX_VALUE} printable ASCII characters: a header holds no others.")
        text = ""
    return _header(row.get("name"), f"{field}.name", wrong), text


def parse_limits(data: Any, wrong: Wrong) -> ServiceLimits:
    if not isinstance(data, Mapping):
        wrong.add("limits", f"Must be an object with {', '.join(LIMITS)}.")
        return ServiceLimits()
    only(data, "limits", tuple(LIMITS), wrong)
    given = {name: data[name] for name in LIMITS if data.get(name) is not None}
    return ServiceLimits(
        **{
            name: whole(value, f"limits.{name}", wrong, low=LIMITS[name][0], high=LIMITS[name][1])
            for name, value in given.items()
        }
    )
