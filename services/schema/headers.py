"""Headers that a service may name: the one that takes its key, and those that each request must carry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationInfo

from services.schema import internal_headers
from services.schema.kinds import Kind, refuse
from services.schema.structure import refuse_all, repeated

MAX_HEADER: Final = 64
MAX_VALUE: Final = 256
# In lower case, what both HTTP and gRPC take. No underscore: servers on the way take it for a hyphen, or drop it.
HEADER: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
PRINTABLE: Final = re.compile(r"[ -~]*")
# Read by the gateway, which finds keys there; by HTTP; by Triton, which says in one where the tensors begin.
READ: Final = (
    "authorization x-api-key host cookie connection keep-alive te trailer transfer-encoding upgrade http2-settings "
    "expect date via origin referer range user-agent cache-control pragma max-forwards inference-header-content-length"
)
# Written by the gateway.
WRITTEN: Final = (
    *internal_headers.INTERNAL,
    internal_headers.REQUEST_ID,
    internal_headers.PROMPT_TOKENS,
    internal_headers.COMPLETION_TOKENS,
    "x-retry-after",
)
TAKEN: Final = frozenset([*READ.split(), *WRITTEN])
TAKEN_PREFIXES: Final = (
    *("content-", "accept", "grpc-", "proxy-", "sec-", "if-", "access-control-", "forwarded"),
    *("x-forwarded-", "x-envoy-", internal_headers.CONSOLE_PREFIX, "x-ratelimit-", "mm-", "triton-"),
)


@dataclass(frozen=True)
class HeaderName(Kind):
    """In lower case."""

    optional: bool = False

    def check(self, value: Any) -> str:
        if self.optional and value in (None, ""):
            return ""
        name = value.strip().lower() if isinstance(value, str) and value.isascii() else ""
        if len(name) > MAX_HEADER or not HEADER.fullmatch(name):
            allowed = f"letters, digits and hyphens, at most {MAX_HEADER} characters"
            refuse(f"Must be the name of an HTTP header, such as x-tenant: {allowed}.")
        if name in TAKEN or name.startswith(TAKEN_PREFIXES):
            refuse(f"{name} has a meaning of its own on the way to a service: choose another, such as x-tenant.")
        if name.endswith("-bin"):
            refuse("gRPC takes headers that end with -bin for binary: choose another name.")
        return name

    def described(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": MAX_HEADER}


@dataclass(frozen=True)
class HeaderValue(Kind):
    def check(self, value: Any) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not text or len(text) > MAX_VALUE or not PRINTABLE.fullmatch(text):
            refuse(f"Must be 1 to {MAX_VALUE} printable ASCII characters: a header holds no others.")
        return text

    def described(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": MAX_VALUE}


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Sequence[Named])


def fit_policy(header: str, info: ValidationInfo) -> str:
    if header and info.data.get("policy") == "public":
        refuse("A public service takes no key, so this would have no effect: leave it empty.")
    return header


def differ(rows: T, info: ValidationInfo) -> T:
    names = [row.name for row in rows]
    problems = repeated(names, "name")
    key = info.data.get("header")
    problems += [
        ((index, "name"), f"{name} is the header of the API key: choose another.")
        for index, name in enumerate(names)
        if name == key
    ]
    refuse_all(problems)
    return rows
