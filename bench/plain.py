"""Configuration of an Envoy that answers by itself, to see what the load generator can reach."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from bench.requests import Call, answer

_TYPE = "type.googleapis.com/envoy.extensions.filters."
BODY_BYTES = 1 << 20


def plain_bootstrap(host: str, port: int, calls: Sequence[Call]) -> bytes:
    """Each of these calls gets its good answer at once."""
    routes = [
        _route({"path": "/ready"}, b"", "text/plain"),
        *(_route({"path": call.path}, answer(call), "application/octet-stream") for call in calls),
    ]
    manager = {
        "@type": _TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {"virtual_hosts": [{"name": "plain", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            # The request is read whole first, as a server that computes something would.
            _filter("buffer", "http.buffer.v3.Buffer", max_request_bytes=BODY_BYTES),
            _filter("router", "http.router.v3.Router"),
        ],
    }
    listener = {
        "name": "plain",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return json.dumps({"static_resources": {"listeners": [listener]}}).encode()


def _filter(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _TYPE + kind, **fields}}


def _route(match: dict[str, Any], body: bytes, content_type: str) -> dict[str, Any]:
    named = {"header": {"key": "content-type", "value": content_type}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "match": match,
        "direct_response": {"status": 200, "body": {"inline_bytes": base64.b64encode(body).decode()}},
        "response_headers_to_add": [named],
    }
