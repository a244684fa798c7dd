"""Where requests go: per ready service a cluster for HTTP, and for Triton one for gRPC.

Both are probed over HTTP. A replica that dies is left at once by the retry of the request that notices it,
within a second by outlier detection, and comes back when its probe passes again. One that hangs while its probe
passes is found elsewhere (services/control/replicas/hung.py): a request's time limit is too long for that, and a slow
model is no broken one. A probe that fails keeps new requests away and cuts none that is under way.

Probes choose between replicas, and never turn a request away: on a busy machine every probe of a service may fail while
each replica still answers. Where no replica is healthy, requests go to all of them, and a dead one refuses the
connection, which is tried again (backends.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

from services.gateway.envoy import names
from services.gateway.envoy.document import REMEMBERED, Item, remembered
from services.gateway.envoy.names import Json, typed
from services.gateway.snapshot import Endpoint, GatewayService, Limits, Snapshot
from services.listeners import Address

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
WINDOW_MAX = (1 << 31) - 1
BRIDGE_HTTP_SOCKET = "http.sock"
BRIDGE_GRPC_SOCKET = "grpc.sock"
"""Where the bridge listens, in its own folder."""
MAX_REQUESTS = 4096
"""Under way at once to one service, where it sets no limit of its own."""
PANIC_PERCENT = 1
"""With fewer healthy replicas than this, so with none, requests go to all of them."""
ALL = 100
"""As soon as one is not healthy: a sequence is never moved to a replica that does not know it."""

PATIENCE_SECONDS = 5
"""For the answer to a probe. A cluster that changed is a new one to Envoy, which knows nothing of its replicas: the old
one serves until each of them was probed once, and of that one probe it depends who is asked then. A machine that is
busy may well be late with it, by more than two seconds even.
"""


@dataclass(frozen=True)
class Backend:
    """What a cluster has to know of a framework."""

    grpc: bool
    """Whether the backend speaks gRPC, on a port of its own."""
    health_path: str
    failures: int
    """So many probes in a row that fail take a replica out."""


BACKENDS = {
    "triton": Backend(grpc=True, health_path="/v2/health/ready", failures=2),
    # Python's event loop answers the probe too, between prompts: on a busy CPU it may be late without being ill.
    "vllm": Backend(grpc=False, health_path="/health", failures=3),
}


def clusters(snapshot: Snapshot) -> list[Item]:
    """Sorted by name, so that equal snapshots give equal files."""
    groups = [_of(service, snapshot.limits) for service in snapshot.services if service.ready]
    return sorted(chain.from_iterable(groups), key=lambda cluster: cluster.name)


@lru_cache(REMEMBERED)
def _of(service: GatewayService, limits: Limits) -> tuple[Item, ...]:
    protocols = (False, True) if BACKENDS[service.framework].grpc else (False,)
    return tuple(_cluster(service, limits, grpc=grpc) for grpc in protocols)


def bridge(bridge_dir: Path, limits: Limits) -> list[Json]:
    """The bridge's two sockets. Its probes are the requests themselves: it is one process, and there is no other."""
    return [
        {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "2s",
            "per_connection_buffer_limit_bytes": names.largest_body(limits),
            "load_assignment": names.static_endpoints(name, {"pipe": {"path": str(bridge_dir / socket)}}),
            "typed_extension_protocol_options": {HTTP_OPTIONS: _protocol(limits, grpc=grpc)},
            "circuit_breakers": _breakers(MAX_REQUESTS),
        }
        for name, socket, grpc in (
            (names.BRIDGE_HTTP, BRIDGE_HTTP_SOCKET, False),
            (names.BRIDGE_GRPC, BRIDGE_GRPC_SOCKET, True),
        )
    ]


@remembered
def _cluster(service: GatewayService, limits: Limits, *, grpc: bool) -> Json:
    name = names.grpc_cluster(service.name) if grpc else names.http_cluster(service.name)
    backend = BACKENDS[service.framework]
    endpoints = sorted(service.endpoints, key=lambda endpoint: (endpoint.http, endpoint.grpc))
    return typed(
        "envoy.config.cluster.v3.Cluster",
        name=name,
        type="STATIC",
        connect_timeout="2s",
        lb_policy="RING_HASH" if service.sequences else "LEAST_REQUEST",
        per_connection_buffer_limit_bytes=names.largest_body(limits),
        load_assignment={
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(endpoint, service, grpc=grpc) for endpoint in endpoints]}],
            **({"policy": {"overprovisioning_factor": ALL}} if service.sequences else {}),
        },
        typed_extension_protocol_options={HTTP_OPTIONS: _protocol(limits, grpc=grpc)},
        health_checks=[_health_check(backend)],
        **({"outlier_detection": _outliers()} if len(endpoints) > 1 and not service.sequences else {}),
        common_lb_config={"healthy_panic_threshold": {"value": ALL if service.sequences else PANIC_PERCENT}},
        circuit_breakers=_breakers(service.concurrency or MAX_REQUESTS),
    )


def _breakers(requests: int) -> Json:
    """Only requests are limited: connections follow from them, and one that waits for its connection is not lost.

    Each request under way may wait for its next try: when a replica dies, all that it had is tried elsewhere at once.
    """
    return {
        "thresholds": [
            {
                "max_requests": requests,
                "max_connections": MAX_REQUESTS,
                "max_pending_requests": MAX_REQUESTS,
                "max_retries": MAX_REQUESTS,
            }
        ]
    }


def _endpoint(endpoint: Endpoint, service: GatewayService, *, grpc: bool) -> Json:
    envoy_endpoint: Json = {"address": _address(endpoint.grpc if grpc else endpoint.http)}
    if grpc:
        envoy_endpoint["health_check_config"] = {"address": _address(endpoint.http)}
    if not service.sequences:
        return {"endpoint": envoy_endpoint}
    # The same over both protocols, so that a sequence may be continued over the other one.
    return {
        "endpoint": envoy_endpoint,
        "metadata": {"filter_metadata": {"envoy.lb": {"hash_key": f"replica-{endpoint.index}"}}},
    }


def _address(address: Address) -> Json:
    if address.path:
        return {"pipe": {"path": address.path}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _protocol(limits: Limits, *, grpc: bool) -> Json:
    if not grpc:
        return typed(HTTP_OPTIONS, explicit_http_config={"http_protocol_options": {}})
    window = min(names.largest_body(limits), WINDOW_MAX)
    options = {"initial_stream_window_size": window, "initial_connection_window_size": window}
    return typed(HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": options})


def _health_check(backend: Backend) -> Json:
    return {
        "timeout": f"{PATIENCE_SECONDS}s",
        "interval": "2s",
        "unhealthy_interval": "1s",
        # For a replica that is not healthy, such as one that starts together with the gateway.
        "no_traffic_interval": "1s",
        # For a healthy one without requests: there may be thousands, and the first request notices what this does not.
        "no_traffic_healthy_interval": "15s",
        "initial_jitter": "0.05s",
        "interval_jitter_percent": 20,
        "healthy_threshold": 1,
        "unhealthy_threshold": backend.failures,
        "http_health_check": {"host": "localhost", "path": backend.health_path, "codec_client_type": "HTTP1"},
    }


def _outliers() -> Json:
    """Only failures to reach a replica count: an answer of 500 is the model's own, and no reason to stop asking it.
    One that is alone is asked again and again: there is no other, and so it serves from the moment that it is back.

    What is Envoy's default already is not said: with thousands of clusters that is read at every change.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "2s",
        "max_ejection_time": "10s",
        "max_ejection_percent": 100,
    }
