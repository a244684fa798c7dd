"""Lines as the gateway writes them into its access log, for the tests of metering."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def line(
    *,
    at: datetime = NOON,
    client: str | None = "abcdefghijkl",
    service: str | None = "echo",
    status: int = 200,
    ms: int = 5,
    **more: Any,
) -> bytes:
    """One whole line, with its newline."""
    record = {
        "bytes_in": 10,
        "bytes_out": 100,
        "client": client,
        "details": "via_upstream",
        "door": "v2-rest",
        "flags": "-",
        "grpc_status": None,
        "method": "POST",
        "ms": ms,
        "path": f"/v2/models/{service}/infer",
        "protocol": "HTTP/1.1",
        "request_id": str(uuid.uuid4()),
        "service": service,
        "status": status,
        "time": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z",
        **more,
    }
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode() + b"\n"
