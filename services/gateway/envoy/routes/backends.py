"""The routes of one service, once it is known: to its replicas in their own protocol, or to the bridge.

What the doors let in has been looked at by then: here it only matters which framework the service has. The routes of a
key with a limit of concurrent requests are the same ones, by way of the cluster that is its limit (inside.py).

No regular expression here, and no route more than needed: the doors have pinned path and method, and Lua that the path
names this very service. With thousands of services, to read and compile them is most of the time of a change.
"""

from __future__ import annotations

from typing import Any

from services.gateway.envoy import auth, names
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.routes.doors import RETRY, script, to_bridge
from services.gateway.envoy.routes.refusals import GRPC_RESOURCE_EXHAUSTED, answers, size
from services.gateway.snapshot import GatewayService, Limits
from services.schema import internal_headers

_ANOTHER: Json = {
    # A dead replica has the fewest requests, so the balancer picks it three times of four when there are two:
    # with few attempts, each try of a request in ten would meet it.
    "host_selection_retry_max_attempts": 30,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
}
_OPENAI_PATHS = {
    "chat": "/v1/chat/completions and /v1/completions",
    "completion": "/v1/completions",
    "embedding": "/v1/embeddings",
}
_MODELS = "/v1/models"
_GET: Json = names.match(":method", exact="GET")
_NOT_OF_TEXT: Json = {**names.match(":path", exact=names.GRPC_TEXT_STREAM), "invert_match": True}
_LIMITED: Json = names.match(internal_headers.CALLER, contains="hop=")
_UNARY: Json = {"name": internal_headers.UNARY, "present_match": True}
_CHECKED: Json = {"name": internal_headers.CHECKED, "present_match": True}
_STREAM: Json = {"timeout": "0s"}
"""How long it may be idle says the listener."""


def routes(service: GatewayService, limits: Limits, *, limited: bool) -> list[Json]:
    """`limited`: keys with a limit of concurrent requests may call the service."""
    backend_routes = _vllm(service, limits) if service.framework == "vllm" else _triton(service, limits)
    hops = [_hop(route, service) for route in backend_routes] if limited else []
    return [*_too_large(service, limits), *hops, *backend_routes]


def retry(service: GatewayService) -> Json:
    """Retry a service's requests, at another replica where one can answer them."""
    return {**RETRY, **_ANOTHER} if len(service.endpoints) > 1 and not service.sequences else RETRY


def spoken(service: GatewayService) -> str:
    """Which doors the service has, for a caller who came to another one."""
    if service.framework == "vllm":
        return f"{_OPENAI_PATHS.get(service.task, 'nothing')}, and ModelInfer and ModelInferStream over gRPC"
    return f"/v2/models/{service.name}/infer, /v1/models/{service.name}:predict, and the same over gRPC"


def _triton(service: GatewayService, limits: Limits) -> list[Json]:
    http, grpc = names.http_cluster(service.name), names.grpc_cluster(service.name)
    once, stream = _times(service, limits), {**_STREAM, **_life(limits)}
    # Triton serves none of the other methods that servers of text have.
    others = {"prefix": names.GRPC_SERVICE, "grpc": {}, "headers": [_NOT_OF_TEXT]}
    return [
        _route(service, "v2-rest", {"prefix": "/v2/models/"}, _to(http, **once)),
        # Retrying one half told would tell it twice.
        _route(service, "v2-grpc", {"path": names.GRPC_STREAM, "grpc": {}}, _to(grpc, **stream), _most(service)),
        _route(service, "v2-grpc", others, _to(grpc, **once)),
        _bridged(service, "tfserving", {"prefix": names.GRPC_TFSERVING, "grpc": {}}, names.BRIDGE_GRPC, once),
        *_v1(service, once),
    ]


def _v1(service: GatewayService, once: Json) -> list[Json]:
    posted = {"prefix": _MODELS, "headers": [names.match(":method", exact="POST")]}
    predict = _bridged(service, "v1", posted, names.BRIDGE_HTTP, once)
    catalogue = _bridged(service, "catalogue", {"prefix": _MODELS, "headers": [_GET]}, names.BRIDGE_HTTP, once)
    return [predict, catalogue] if service.framework == "triton" else [catalogue]


def _vllm(service: GatewayService, limits: Limits) -> list[Json]:
    http = names.http_cluster(service.name)
    once, stream, life = _times(service, limits), _STREAM, _life(limits)
    counted: Json = {"typed_per_filter_config": script("openai")}
    openai = []
    for path in names.OPENAI_BY_TASK.get(service.task, ()):
        # Only a script that has read the body knows what is no stream; what the bridge sends may be one.
        openai.append(_route(service, "openai", {"path": path, "headers": [_UNARY]}, _to(http, **once), counted))
        answered = {"path": path, "headers": [_CHECKED]}
        openai.append(_route(service, "openai", answered, _to(http, **stream, **life), counted))
        # Whose body is not whole yet: it has the listener's bound. (The inner listeners have none.)
        openai.append(_route(service, "openai", {"path": path}, _to(http, **stream), counted))
    text = {"path": names.GRPC_TEXT_STREAM, "grpc": {}}
    return [
        *openai,
        _bridged(service, "llm-grpc", text, names.BRIDGE_GRPC, {**stream, **life}, counted),
        *(
            _bridged(
                service, "llm-grpc", {"path": names.GRPC_SERVICE + method, "grpc": {}}, names.BRIDGE_GRPC, once, counted
            )
            for method in ("ModelInfer", "ModelReady", "ModelMetadata")
        ),
        _bridged(service, "llm-grpc", {"prefix": "/v2/models/", "headers": [_GET]}, names.BRIDGE_HTTP, once),
        *_v1(service, once),
    ]


def _route(service: GatewayService, door: str, match: Json, action: Json, *more: Json) -> Json:
    """A route. Its name is the service's: messages and the access log have it from there, and the door from `door`."""
    route: Json = {"name": service.name, "match": match, "route": action}
    for each in more:
        route.update(each)
    filter_metadata = {**route.get("metadata", {}).get("filter_metadata", {}), names.LOG_METADATA: {"door": door}}
    if service.classes and door.startswith("v2-"):
        filter_metadata[names.LUA_METADATA] = {
            **filter_metadata.get(names.LUA_METADATA, {}),
            "classes": [*service.classes],
        }
    if service.sequences and door.startswith("v2-"):
        filter_metadata[names.LUA_METADATA] = {**filter_metadata.get(names.LUA_METADATA, {}), "sequences": True}
        route["route"] = {**action, "hash_policy": [{"header": {"header_name": internal_headers.SEQUENCE}}]}
    return {**route, "metadata": {"filter_metadata": filter_metadata}}


def _bridged(service: GatewayService, door: str, match: Json, cluster: str, times: Json, *more: Json) -> Json:
    route = to_bridge(cluster, service.name)
    return _route(service, door, match, {**route.pop("route"), **times}, route, *more)


def _hop(route: Json, service: GatewayService) -> Json:
    action = {key: value for key, value in route["route"].items() if key != "cluster"}
    # The inner listener finds the service in Host.
    action |= {"cluster_header": internal_headers.HOP, "host_rewrite_literal": service.name}
    match = {**route["match"], "headers": [*route["match"].get("headers", []), _LIMITED]}
    return {**route, "match": match, "route": action}


def _too_large(service: GatewayService, limits: Limits) -> list[Json]:
    """Only for a service that takes less than the gateway does."""
    most = service.max_payload_bytes
    if most is None or most >= limits.max_payload_bytes:
        return []
    sentence = f"The request is larger than the limit of the service {service.name}, {size(most)}."
    early = auth.may_call(service)[names.GRANT_EARLY]
    beyond = {"start": most + names.FRAMING_BYTES + 1, "end": (1 << 63) - 1}
    return [
        # It answers by itself, so no script has to have looked at the body.
        {**answer, "name": service.name, "typed_per_filter_config": {names.GRANT: early}}
        for measured in ("content-length", internal_headers.SIZE)
        for answer in answers(
            {"prefix": "/", "headers": [{"name": measured, "range_match": beyond}]},
            413,
            sentence,
            grpc_status=GRPC_RESOURCE_EXHAUSTED,
        )
    ]


def _most(service: GatewayService) -> Json:
    """For the script that measures each message of a stream."""
    if service.max_payload_bytes is None:
        return {}
    most = {"largest_message": service.max_payload_bytes + names.FRAMING_BYTES}
    return {"metadata": {"filter_metadata": {names.LUA_METADATA: most}}}


def _to(cluster: str, **times: Any) -> Json:
    # The backend never sees a Host that a client chose.
    return {"cluster": cluster, "host_rewrite_literal": "localhost", **times}


def _life(limits: Limits) -> Json:
    """In the place of the listener's bound on requests."""
    return {"max_stream_duration": {"max_stream_duration": f"{limits.stream_seconds}s"}}


def _times(service: GatewayService, limits: Limits) -> Json:
    """For a body to come in there is `limits.body_seconds`, for its answer the service's own time."""
    answer = service.timeout_seconds or limits.request_timeout_seconds
    times: Json = {"timeout": f"{answer}s"}
    if answer != limits.stream_idle_seconds:  # which is the listener's own, and then need not be read for each route
        times["idle_timeout"] = f"{answer}s"
    if answer > limits.request_timeout_seconds:
        # More than the listener allows. Such a route has no `timeout`; each try has one instead.
        whole = f"{limits.body_seconds + answer}s"
        times["max_stream_duration"] = {"max_stream_duration": whole}
        times["retry_policy"] = {**retry(service), "per_try_timeout": f"{answer}s"}
    return times
