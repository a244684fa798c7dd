"""Which request goes where. Virtual hosts are chosen by the internal header `x-service`, one look-up however many.

A request is routed two or three times. First, with no `x-service` yet, in the virtual host of the doors (doors.py):
that is where everything unlisted ends, and where it is decided which filters the request will meet. Then the service
is known, from the headers or from the first gRPC message, and its own virtual host takes over.
"""

from __future__ import annotations

import re

from services.errors import GatewayError
from services.gateway.envoy import auth, doors, names
from services.gateway.envoy.names import Json, typed
from services.gateway.snapshot import GatewayService, Limits, Snapshot

ROUTE_NAME = "services"
STRIPPED = (
    *names.INTERNAL_HEADERS, "x-api-key", "authorization", "cookie", "proxy-authorization", "mm-vmodel-id",
    "x-forwarded-for", "x-forwarded-proto", "x-envoy-external-address", "x-envoy-expected-rq-timeout-ms",
    # Only a stream's first message is read here. Without this header a backend inflates none of those that follow.
    "grpc-encoding",
)  # fmt: skip
"""Nothing that a backend needs, and nothing that it should know."""
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def route_configuration(snapshot: Snapshot) -> Json:
    services = sorted(snapshot.services, key=lambda service: service.name)
    keyless = any(service.public for service in services)
    return typed(
        "envoy.config.route.v3.RouteConfiguration",
        name=ROUTE_NAME,
        vhost_header=names.H_SERVICE,
        request_headers_to_remove=list(STRIPPED),
        virtual_hosts=[
            doors.virtual_host(snapshot.limits, keyless=keyless),
            *doors.refusals(snapshot.limits),
            *(_virtual_host(service, snapshot.limits) for service in services),
        ],
    )


def _virtual_host(service: GatewayService, limits: Limits) -> Json:
    if not _DNS_LABEL.fullmatch(service.name):
        raise GatewayError(f"The service name {service.name!r} is not a DNS label, so the gateway cannot route to it.")
    if service.ready and not service.endpoints:
        raise GatewayError(f"The service {service.name} is ready but has no endpoint.")
    return {
        "name": f"service-{service.name}",
        "domains": [service.name],
        "routes": _routes(service, limits) if service.ready else [_not_ready(service)],
        "typed_per_filter_config": auth.may_call(service),
    }


def _not_ready(service: GatewayService) -> Json:
    sentence = f"The service {service.name} is not ready. {service.message}".strip()
    return {
        "name": service.name,
        "match": {"prefix": "/"},
        "direct_response": {"status": 503, "body": {"inline_string": sentence}},
        "response_headers_to_add": [doors.header("retry-after", "5")],
    }


def _routes(service: GatewayService, limits: Limits) -> list[Json]:
    rest = rf"/v2/models/{re.escape(service.name)}(/versions/[0-9]+)?(/infer|/ready)?"
    grpc_cluster = names.grpc_cluster(service.name)
    # The route's name is the service's: messages and the access log have it from there.
    timeout = f"{limits.request_timeout_seconds}s"
    idle = f"{limits.stream_idle_seconds}s"
    return [
        # A stream lives as long as it says something. Retrying one half told would tell it twice.
        {"match": {"path": names.GRPC_STREAM, "grpc": {}},
         "route": _to(grpc_cluster, timeout="0s", idle_timeout=idle), "name": service.name},
        {"match": {"safe_regex": {"regex": names.GRPC_UNARY}, "grpc": {}},
         "route": _to(grpc_cluster, timeout=timeout, idle_timeout=timeout), "name": service.name},
        {"match": {"safe_regex": {"regex": rest}},
         "route": _to(names.http_cluster(service.name), timeout=timeout, idle_timeout=timeout), "name": service.name},
    ]  # fmt: skip


def _to(cluster: str, *, timeout: str, idle_timeout: str) -> Json:
    return {
        "cluster": cluster,
        "timeout": timeout,
        "idle_timeout": idle_timeout,
        # The backend never sees a Host that a client chose.
        "host_rewrite_literal": "localhost",
        "retry_policy": {
            # Only failures before a replica can have begun to answer: an inference is never run twice on purpose.
            "retry_on": "connect-failure,refused-stream,reset-before-request",
            "num_retries": 2,
            # A dead replica has the fewest requests, so the balancer picks it three times of four when there are two:
            # with few attempts, each try of a request in ten would meet it.
            "host_selection_retry_max_attempts": 30,
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
            }],
            "retry_back_off": {"base_interval": "0.02s", "max_interval": "0.2s"},
        },
    }  # fmt: skip
