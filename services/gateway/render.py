"""From a snapshot to the files that Envoy reads while it runs. Pure: equal snapshots give equal bytes."""

from __future__ import annotations

from services.gateway.envoy import names
from services.gateway.envoy.auth import credentials
from services.gateway.envoy.cluster import clusters
from services.gateway.envoy.inside import hops
from services.gateway.envoy.ratelimit import rate_limits
from services.gateway.envoy.route import route_configuration
from services.gateway.snapshot import Snapshot


def render(snapshot: Snapshot) -> dict[str, bytes]:
    """File name -> content. Raises GatewayError for a snapshot that no configuration can express."""
    return {
        names.CLUSTERS: names.discovery([*clusters(snapshot), *hops(snapshot)]),
        names.ROUTES: names.discovery([route_configuration(snapshot)]),
        names.KEYS: names.discovery([credentials(snapshot)]),
        names.RATE_LIMITS: names.discovery([rate_limits(snapshot)]),
    }
