"""Which pages of other origins may call a service from a browser: preflights, and the headers that let a page read.

Off unless some service names origins (lua/door/cors.lua reads them out of the metadata made here).
"""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway.envoy import names
from services.gateway.envoy.names import Json
from services.gateway.envoy.routes.refusals import header
from services.gateway.snapshot import GatewayService

EVERY = "*"
MAX_AGE_SECONDS = 600
_PREFLIGHT: list[Json] = [
    names.match(":method", exact="OPTIONS"),
    {"name": "origin", "present_match": True},
    {"name": "access-control-request-method", "present_match": True},
]


def union(services: Iterable[GatewayService]) -> tuple[str, ...]:
    """The origins that some service names."""
    origins = {origin for service in services for origin in service.cors_origins}
    return (EVERY,) if EVERY in origins else tuple(sorted(origins))


def metadata(origins: tuple[str, ...]) -> Json:
    """Metadata of a virtual host for the script, which reads it under the name of its filter."""
    return {names.CORS: {"origins": list(origins)}} if origins else {}


def preflight(match: Json) -> Json:
    """A route that answers preflights. Whether the page's origin is named is for the browser to find out.

    Any header may be asked for: what a page of a named origin may do is bounded by its key.
    """
    values = {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "%REQ(ACCESS-CONTROL-REQUEST-HEADERS)%",
        "access-control-max-age": str(MAX_AGE_SECONDS),
    }
    return {
        "match": {**match, "headers": _PREFLIGHT},
        "direct_response": {"status": 204},
        "response_headers_to_add": [header(name, value) for name, value in values.items()],
    }
