"""What the requests of a case are sent to: the gateway, or a replica behind it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECONDS = 60


@dataclass(frozen=True)
class Server:
    """Speaks V2. `http`: host:port; `grpc`: a target of gRPC."""

    http: str
    grpc: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """The status, and the answer from JSON. `body`: bytes, or what JSON is made of."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.http, timeout=SECONDS)
        try:
            connection.request("POST", path, content, {**self.headers, "Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read().decode(errors="surrogateescape"))
        finally:
            connection.close()
