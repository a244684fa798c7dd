"""From a snapshot to the files that Envoy and the bridge read while they run. Pure: equal ones give equal bytes.

Keys are published apart: see credentials.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway import bridge_table
from services.gateway.envoy import names
from services.gateway.envoy.cluster import clusters
from services.gateway.envoy.document import Document, discovery
from services.gateway.envoy.inside import HOPS_FILE, hop_names, hops
from services.gateway.envoy.routes.route import route_configuration
from services.gateway.snapshot import Snapshot

# By file name.
Files = Mapping[str, Document]


def render(snapshot: Snapshot) -> Files:
    """Raises GatewayError for a snapshot that no configuration can express."""
    return {
        names.CLUSTERS: discovery([*clusters(snapshot), *hops(snapshot)]),
        bridge_table.FILE: Document.read(bridge_table.render(snapshot)),
        names.ROUTES: route_configuration(snapshot),
        HOPS_FILE: Document.read(hop_names(snapshot)),
    }
