"""Configurations of two other Envoys: one that answers by itself, to see what the load generator can reach, and one
that only forwards, to see what Envoy takes before it is asked to do anything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from bench.targets.requests import Call, answer

_TYPE = "type.googleapis.com/envoy.extensions.filters."
BODY_BYTES = 1 << 20


def bare_bootstrap(host: str, port: int, backend_port: int, *, http2: bool) -> bytes:
    """Everything goes to one backend on the same host: no key, no script, no log, no health check."""
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    protocol: dict[str, Any] = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    backend = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": backend_port}}}}
    cluster = {
        "name": "backend",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [backend]}]},
        "typed_extension_protocol_options": {
            options: {"@type": f"type.googleapis.com/{options}", "explicit_http_config": protocol}
        },
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}
    resources = {"listeners": [_listener(host, port, [route], [_ROUTER])], "clusters": [cluster]}
    return json.dumps({"static_resources": resources}).encode()


def plain_bootstrap(host: str, port: int, calls: Sequence[Call]) -> bytes:
    """Each of these calls gets its good answer at once."""
    routes = [
        _route({"path": "/ready"}, b"", "text/plain"),
        *(_route({"path": call.path}, answer(call), "application/octet-stream") for call in calls),
    ]
    # The request is read whole first, as a server that computes something would.
    buffer = _filter("buffer", "http.buffer.v3.Buffer", max_request_bytes=BODY_BYTES)
    listener = _listener(host, port, routes, [buffer, _ROUTER])
    return json.dumps({"static_resources": {"listeners": [listener]}}).encode()


def _listener(host: str, port: int, routes: list[dict[str, Any]], filters: list[dict[str, Any]]) -> dict[str, Any]:
    manager = {
        "@type": _TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {"virtual_hosts": [{"name": "plain", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
    }
    return {
        "name": "plain",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _filter(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _TYPE + kind, **fields}}


_ROUTER = _filter("router", "http.router.v3.Router")


def _route(match: dict[str, Any], body: bytes, content_type: str) -> dict[str, Any]:
    named = {"header": {"key": "content-type", "value": content_type}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "match": match,
        "direct_response": {"status": 200, "body": {"inline_bytes": base64.b64encode(body).decode()}},
        "response_headers_to_add": [named],
    }
