"""The two doors that only this installation's own parts come through: they ask for no key.

`egress`, a unix socket in the gateway's folder, is the bridge's way to the replicas: the request names its service in
`x-service` and takes that service's native paths. `inner`, a listener without an address, is the second half of the
way of a key that may have only so many requests under way: its cluster (`hops`) is its limit, and leads here. Where it
is bounded by the limit of another key too, the next cluster is that one's, and leads here again.
Both use the routes of the outer listener, run no filter but the router, and write no access log: a request is
logged once, where it came in.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from services.gateway.envoy import names
from services.gateway.envoy.cluster import HTTP_OPTIONS, WINDOW_MAX
from services.gateway.envoy.document import Item, remembered
from services.gateway.envoy.filters import subscription
from services.gateway.envoy.listener import HCM, MAX_STREAMS
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.replies import local_replies
from services.gateway.envoy.routes.route import ROUTE_NAME
from services.gateway.snapshot import Limits, Snapshot
from services.schema import internal_headers

INNER = "inner"
EGRESS = "egress"
EGRESS_SOCKET = "egress.sock"
HOPS_FILE = "hops.json"
"""Names of the hops that routes lead to. Written after those, and read when keys are published (credentials.py)."""
UNLIMITED = 1 << 30
_NO_CALLER: list[Json] = [
    {"remove": name} for name in (internal_headers.CALLER, internal_headers.HOP, *internal_headers.LATER_HOPS)
]


def listeners(gateway_dir: Path, limits: Limits) -> list[Json]:
    return [_egress(gateway_dir, limits), _inner(gateway_dir, limits)]


def hops(snapshot: Snapshot) -> list[Item]:
    """One cluster for each limit of concurrent requests. It is named by the key that the limit is of: those that were
    rotated into another, and those that a key made, go through the same one, and so are counted together.

    Envoy counts a request until its last byte has been passed on or its client has gone away, over all workers.
    """
    limits = {hop: int(hop.rpartition(":")[2]) for key in snapshot.keys for hop in key.hops}
    return [_hop(name, max(limits[name], 1), snapshot.limits) for name in sorted(limits)]


def hop_names(snapshot: Snapshot) -> bytes:
    return names.dump([hop.name for hop in hops(snapshot)])


def _egress(gateway_dir: Path, limits: Limits) -> Json:
    """Who can open the socket is trusted: the folder is its owner's alone, and so is the socket."""
    return {
        "name": EGRESS,
        "address": {"pipe": {"path": str(gateway_dir / EGRESS_SOCKET), "mode": 0o600}},
        "per_connection_buffer_limit_bytes": names.largest_body(limits),
        "filter_chains": [_chain(EGRESS, gateway_dir, limits, _NO_CALLER)],
    }


def _inner(gateway_dir: Path, limits: Limits) -> Json:
    """The route that leads to the hop writes the service's name into Host: the only header that it can write last."""
    moves = [*_move(":AUTHORITY", internal_headers.SERVICE)]
    # Move to the next of several limits: `backends.py` reads it where a caller is.
    for old, new in pairwise((internal_headers.HOP, *internal_headers.LATER_HOPS, "")):
        moves += _move(new, old)
    moves += _move(internal_headers.HOP, internal_headers.CALLER)
    return {
        "name": INNER,
        "internal_listener": {},
        "per_connection_buffer_limit_bytes": names.largest_body(limits),
        "filter_chains": [_chain(INNER, gateway_dir, limits, moves)],
    }


def _move(source: str, target: str) -> list[Json]:
    """`target` has what is in `source`; it goes when there is nothing."""
    value = {"header": {"key": target, "value": f"%REQ({source})%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return [{"remove": target}, *([{"append": value}] if source else [])]


def _chain(name: str, gateway_dir: Path, limits: Limits, mutations: list[Json]) -> Json:
    mutation = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    router = typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True, dynamic_stats=False)
    manager = typed(
        HCM,
        stat_prefix=name,
        codec_type="AUTO",
        # What the outer listener wrote stays as it is.
        server_header_transformation="PASS_THROUGH",
        use_remote_address=False,
        skip_xff_append=True,
        generate_request_id=False,
        preserve_external_request_id=True,
        early_header_mutation_extensions=[{"name": name, "typed_config": typed(mutation, mutations=mutations)}],
        rds={"config_source": subscription(gateway_dir, names.ROUTES), "route_config_name": ROUTE_NAME},
        http_filters=[{"name": "router", "typed_config": router}],
        local_reply_config=local_replies(limits),
        common_http_protocol_options={"idle_timeout": "3600s"},
        http2_protocol_options={"max_concurrent_streams": MAX_STREAMS, **_windows(limits)},
        stream_idle_timeout=f"{limits.stream_idle_seconds}s",
    )
    return {"filters": [{"name": "http", "typed_config": manager}]}


@remembered
def _hop(name: str, concurrent: int, limits: Limits) -> Json:
    return typed(
        "envoy.config.cluster.v3.Cluster",
        name=name,
        type="STATIC",
        connect_timeout="2s",
        per_connection_buffer_limit_bytes=names.largest_body(limits),
        load_assignment=names.static_endpoints(name, {"envoy_internal_address": {"server_listener_name": INNER}}),
        # gRPC stays HTTP/2, and HTTP/1.1 stays what it is.
        typed_extension_protocol_options={
            HTTP_OPTIONS: typed(
                HTTP_OPTIONS,
                use_downstream_protocol_config={
                    "http_protocol_options": {},
                    "http2_protocol_options": _windows(limits),
                },
            )
        },
        circuit_breakers={
            "thresholds": [
                {
                    "max_requests": concurrent,
                    "max_connections": UNLIMITED,
                    "max_pending_requests": UNLIMITED,
                    "max_retries": 0,
                }
            ]
        },
    )


def _windows(limits: Limits) -> Json:
    window = min(names.largest_body(limits), WINDOW_MAX)
    return {"initial_stream_window_size": window, "initial_connection_window_size": window}
