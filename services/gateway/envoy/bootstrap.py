"""What Envoy is started with: the listener, the administration socket, where the dynamic files are.

Also the internal listener that answers server-level gRPC calls, and the descriptors of the V2 protocol.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

from tritonclient.grpc import service_pb2

from services.gateway.envoy import cluster, inside, names, wire
from services.gateway.envoy.filters import subscription
from services.gateway.envoy.listener import HCM, listener
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.routes import doors
from services.gateway.envoy.routes.refusals import header
from services.gateway.envoy.tls import Tls
from services.gateway.snapshot import Limits

JSON, PROTOBUF = "application/json", "application/x-protobuf"
MAX_CONNECTIONS = 10_000
HEAP = "envoy.resource_monitors.fixed_heap"
LEAST_HEAP = 1 << 30
HEAP_BODIES = 64
"""So many requests of the largest size may be buffered at once; a limit of 1 GiB for the default size."""
HEAP_SHARE = 0.5
"""Share of the machine's memory. The models need the rest."""
STRICT: Json = {"envoy.reloadable_features.strict_chunk_parsing": True}
"""Off by default: the end of a chunk's data is CRLF, and no other bytes."""
LEAST_BODIES = 2
"""One that is read and one that is sent must have room even so."""


def bootstrap(
    gateway_dir: Path,
    *,
    host: str,
    port: int,
    limits: Limits | None = None,
    access_log: Path | None = None,
    bridge_dir: Path | None = None,
    tls: Tls | None = None,
    proxies: Sequence[str] = (),
) -> bytes:
    """The content of bootstrap.json. A change of any argument needs a restart of Envoy.

    `bridge_dir` holds the bridge's two sockets; by default it is beside `gateway_dir`, as in console/home.py.
    """
    log = access_log or gateway_dir / names.ACCESS_LOG
    limits = limits or Limits()
    door = listener(gateway_dir, host=host, port=port, limits=limits, access_log=log, tls=tls, proxies=proxies)
    return names.dump(
        {
            "node": {"id": "gateway", "cluster": "gateway"},
            # A socket file: only this user may administer Envoy, and no port has to be free.
            "admin": {"address": {"pipe": {"path": str(gateway_dir / names.ADMIN_SOCKET), "mode": 0o600}}},
            "layered_runtime": {"layers": [{"name": "strict", "static_layer": STRICT}]},
            # Hundreds for each service, which nobody reads: what is told of replicas is counted apart from these.
            "stats_config": {"stats_matcher": {"exclusion_list": {"patterns": [{"prefix": "cluster."}]}}},
            "dynamic_resources": {"cds_config": subscription(gateway_dir, names.CLUSTERS)},
            "static_resources": {
                # The outer one first: it names the statistics of the routes that all of them share.
                "listeners": [door, *inside.listeners(gateway_dir, limits), _answers()],
                "clusters": [_answers_cluster(), *cluster.bridge(bridge_dir or gateway_dir.parent / "bridge", limits)],
            },
            "bootstrap_extensions": [
                {
                    "name": "internal",
                    "typed_config": typed("envoy.extensions.bootstrap.internal_listener.v3.InternalListener"),
                }
            ],
            "overload_manager": _overload(limits),
        }
    )


def _overload(limits: Limits) -> Json:
    """Before memory runs out, requests are refused with 503; those under way go on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    bodies = min(HEAP_BODIES * names.largest_body(limits), int(memory * HEAP_SHARE))
    heap = max(LEAST_HEAP, bodies, LEAST_BODIES * names.largest_body(limits))
    kinds = "envoy.extensions.resource_monitors"
    connections = typed(
        f"{kinds}.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=MAX_CONNECTIONS,
    )
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections},
            {"name": HEAP, "typed_config": typed(f"{kinds}.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=heap)},
        ],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", "triggers": [_above(0.85)]},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": [_above(0.95)]},
        ],
    }


def _above(share: float) -> Json:
    return {"name": HEAP, "threshold": {"value": share}}


def descriptors() -> bytes:
    """A FileDescriptorSet of what the gateway reads a model's name out of."""
    return wire.descriptors().SerializeToString(deterministic=True)


def answer_bodies() -> dict[str, bytes]:
    """Serialized response message of each server-level call."""
    metadata = service_pb2.ServerMetadataResponse(name=doors.PRODUCT_NAME, version=doors.PRODUCT_VERSION)
    # grpc.health.v1.HealthCheckResponse{status: SERVING}: field 1, varint 1.
    bodies = (
        service_pb2.ServerLiveResponse(live=True).SerializeToString(),
        service_pb2.ServerReadyResponse(ready=True).SerializeToString(),
        metadata.SerializeToString(deterministic=True),
        b"\x08\x01",
    )
    return dict(zip(doors.SERVER_RPCS, bodies, strict=True))


def _answers() -> Json:
    """Speaks JSON, and plain bytes, of which the bridge filter makes gRPC: Envoy alone cannot send trailers."""
    bodies = {path: (base64.b64encode(body).decode(), PROTOBUF) for path, body in answer_bodies().items()}
    bodies |= {path: (base64.b64encode(names.dump(body)).decode(), JSON) for path, body in doors.SERVER_PATHS.items()}
    routes = [
        {
            "match": {"path": path},
            "direct_response": {"status": 200, "body": {"inline_bytes": body}},
            "response_headers_to_add": [header("content-type", kind)],
        }
        for path, (body, kind) in bodies.items()
    ]
    manager = typed(
        HCM,
        stat_prefix=names.ANSWERS,
        route_config={"virtual_hosts": [{"name": names.ANSWERS, "domains": ["*"], "routes": routes}]},
        http_filters=[{"name": "router", "typed_config": typed("envoy.extensions.filters.http.router.v3.Router")}],
    )
    return {
        "name": names.ANSWERS,
        "internal_listener": {},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _answers_cluster() -> Json:
    address = {"envoy_internal_address": {"server_listener_name": names.ANSWERS}}
    return {
        "name": names.ANSWERS,
        "type": "STATIC",
        "load_assignment": names.static_endpoints(names.ANSWERS, address),
    }
