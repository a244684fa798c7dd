"""Where requests go: per ready service one cluster for its HTTP ports and one for its gRPC ports.

Both are probed on the HTTP port. A replica that dies is left at once by the retry of the request that notices it,
within a second by outlier detection, and comes back when its probe passes again.
"""

from __future__ import annotations

from services.gateway.envoy import names
from services.gateway.envoy.names import Json, typed
from services.gateway.snapshot import Endpoint, GatewayService, Limits, Snapshot

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
WINDOW_MAX = (1 << 31) - 1


def clusters(snapshot: Snapshot) -> list[Json]:
    """Sorted by name, so that equal snapshots give equal files."""
    made = [
        cluster
        for service in snapshot.services
        if service.ready
        for cluster in (_cluster(service, snapshot.limits, grpc=False), _cluster(service, snapshot.limits, grpc=True))
    ]
    return sorted(made, key=lambda cluster: str(cluster["name"]))


def _cluster(service: GatewayService, limits: Limits, *, grpc: bool) -> Json:
    name = names.grpc_cluster(service.name) if grpc else names.http_cluster(service.name)
    endpoints = sorted(service.endpoints, key=lambda e: (e.host, e.http_port, e.grpc_port))
    return typed(
        "envoy.config.cluster.v3.Cluster",
        name=name,
        type="STATIC",
        connect_timeout="2s",
        lb_policy="LEAST_REQUEST",
        per_connection_buffer_limit_bytes=names.largest_body(limits),
        load_assignment={
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(endpoint, grpc=grpc) for endpoint in endpoints]}],
        },
        typed_extension_protocol_options={_HTTP_OPTIONS: _protocol(limits, grpc=grpc)},
        health_checks=[_health_check()],
        outlier_detection=_outliers(),
        # With no healthy replica say so at once, instead of trying the dead ones.
        common_lb_config={"healthy_panic_threshold": {"value": 0}},
        circuit_breakers={"thresholds": [{"max_connections": 4096, "max_pending_requests": 4096,
                                          "max_requests": 4096, "max_retries": 64}]},
    )  # fmt: skip


def _endpoint(endpoint: Endpoint, *, grpc: bool) -> Json:
    made: Json = {"address": _address(endpoint.host, endpoint.grpc_port if grpc else endpoint.http_port)}
    if grpc:
        made["health_check_config"] = {"port_value": endpoint.http_port}
    return {"endpoint": made}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _protocol(limits: Limits, *, grpc: bool) -> Json:
    if not grpc:
        return typed(_HTTP_OPTIONS, explicit_http_config={"http_protocol_options": {}})
    window = min(names.largest_body(limits), WINDOW_MAX)
    options = {"initial_stream_window_size": window, "initial_connection_window_size": window}
    return typed(_HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": options})


def _health_check() -> Json:
    return {
        "timeout": "2s",
        "interval": "2s",
        "unhealthy_interval": "1s",
        # Of a replica that is not healthy, such as one that starts together with the gateway.
        "no_traffic_interval": "1s",
        "no_traffic_healthy_interval": "5s",
        "initial_jitter": "0.05s",
        "interval_jitter_percent": 20,
        "healthy_threshold": 1,
        "unhealthy_threshold": 2,
        "http_health_check": {"host": "localhost", "path": "/v2/health/ready", "codec_client_type": "HTTP1"},
    }


def _outliers() -> Json:
    """Only failures to reach a replica count: an answer of 500 is the model's own, and no reason to stop asking it."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_failure_percentage": 0,
        "interval": "1s",
        "base_ejection_time": "2s",
        "max_ejection_time": "10s",
        "max_ejection_percent": 100,
    }
