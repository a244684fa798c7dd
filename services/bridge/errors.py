"""What the bridge answers when it cannot do what was asked: one error, spelled in each protocol's shape."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import grpc


class Kind(Enum):
    """HTTP status and gRPC code of each reason for a refusal."""

    INVALID = (400, grpc.StatusCode.INVALID_ARGUMENT)
    NOT_FOUND = (404, grpc.StatusCode.NOT_FOUND)
    UNSUPPORTED = (501, grpc.StatusCode.UNIMPLEMENTED)
    TOO_LARGE = (413, grpc.StatusCode.RESOURCE_EXHAUSTED)
    BUSY = (429, grpc.StatusCode.RESOURCE_EXHAUSTED)
    INTERNAL = (500, grpc.StatusCode.INTERNAL)
    BAD_ANSWER = (502, grpc.StatusCode.INTERNAL)
    UNAVAILABLE = (503, grpc.StatusCode.UNAVAILABLE)
    TIMEOUT = (504, grpc.StatusCode.DEADLINE_EXCEEDED)

    @property
    def http(self) -> int:
        return int(self.value[0])

    @property
    def grpc(self) -> grpc.StatusCode:
        return self.value[1]


RETRY_SECONDS = "1"
"""Retry-After of a refusal that another try may not meet, where the backend or the gateway named no other."""


AWAY = "The service cannot be reached at the moment."
LATE = "The service did not answer within the time that the call has."
SILENT = {Kind.UNAVAILABLE: AWAY, Kind.TIMEOUT: LATE, Kind.BUSY: "The service has enough to do at the moment."}
"""For answers without a sentence of their own."""


class BridgeError(Exception):
    """`retry_after`: seconds as the header spells them, "" for none."""

    def __init__(self, kind: Kind, message: str, *, retry_after: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after or (RETRY_SECONDS if kind in (Kind.BUSY, Kind.UNAVAILABLE) else "")


def invalid(message: str) -> BridgeError:
    return BridgeError(Kind.INVALID, message)


def v1_body(error: BridgeError) -> bytes:
    """`{"error": "..."}`, as KServe V1 and V2 and TF-Serving's REST API have it."""
    return json.dumps({"error": error.message}).encode()


def openai_body(error: BridgeError, code: str | None = None) -> bytes:
    kind = "invalid_request_error" if error.kind.http < 500 else "server_error"
    return json.dumps({"error": {"message": error.message, "type": kind, "param": None, "code": code}}).encode()


def from_backend(status: int, body: bytes, retry_after: str = "") -> BridgeError:
    """A backend's refusal, or the gateway's on the way there, with their own words when they gave any."""
    kind = _KINDS.get(status, Kind.INTERNAL if status >= 500 else Kind.INVALID)
    message = said_in(body)
    if not message:
        message = SILENT.get(kind) or f"The service answered {status} without a reason."
    return BridgeError(kind, message, retry_after=retry_after)


def said_in(body: bytes) -> str:
    """The sentence in `{"error": "..."}`, `{"error": {"message": "..."}}` or `{"message": "..."}`; "" for none."""
    try:
        data: Any = json.loads(body)
    except ValueError:
        return ""
    for _ in range(2):
        if isinstance(data, dict):
            data = data.get("error") or data.get("message")
    return data if isinstance(data, str) else ""


_KINDS = {kind.http: kind for kind in Kind if kind is not Kind.UNSUPPORTED} | {
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    422: Kind.INVALID,
    501: Kind.UNSUPPORTED,
}
