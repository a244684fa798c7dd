"""The virtual host that every request meets first: the allow-list, and what is answered at the door.

The route matched here also fixes which filters run at all, because Envoy builds a request's filter chain once, from
its first route. So a request for anything unlisted meets no filter, and is 404 before any key is looked at.
"""

from __future__ import annotations

from services.gateway.envoy import auth, names
from services.gateway.envoy.names import Json, typed
from services.gateway.snapshot import MIB, Limits

PRODUCT_NAME = "inference-console"
PRODUCT_VERSION = "0.1.0"
SERVER_RPCS = (
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ServerMetadata",
    "/grpc.health.v1.Health/Check",
)
GRPC_INVALID_ARGUMENT = "3"
GRPC_NOT_FOUND = "5"

_GATED = (names.DOOR, names.API_KEY, names.CALLER, names.GRANT_EARLY, names.RATE_LIMIT)
_GRPC_ONLY = (names.FIELDS, names.RESOLVE, names.GRANT)


def virtual_host(limits: Limits, *, keyless: bool) -> Json:
    """`keyless`: some service is public, so a gRPC call without a key may go on until its first message is read."""
    return {
        "name": "doors",
        "domains": [names.AT_THE_DOOR],
        "routes": [
            *_server_level(),
            *_grpc_doors(keyless=keyless),
            # Triton's statistics of all models, which look like the metadata of a model named "stats".
            _nothing_here({"path": "/v2/models/stats"}),
            *_rest_doors(limits),
            _nothing_here({"prefix": "/"}),
        ],
        "typed_per_filter_config": auth.may_infer(),
    }


def refusals(limits: Limits) -> list[Json]:
    """One virtual host per reason why a request reaches no service."""
    too_large = f"The request body is larger than this gateway's limit of {size(limits.max_payload_bytes)}."
    encoded = "Content-Encoding is not supported here: send the body as it is."
    conflict = "The header mm-vmodel-id and the request name different models: make them the same, or leave it out."
    unknown = "No service is named %REQ(X-SERVICE)%."
    misspelled = "No service is named %REQ(X-MODEL)%: names are lower-case letters, digits and hyphens."
    return [
        _refusal(names.R_TOO_LARGE, 413, too_large, filters=_read_first(limits)),
        _refusal(names.R_ENCODED, 415, encoded),
        _refusal(names.R_CONFLICT, 400, conflict, grpc_status=GRPC_INVALID_ARGUMENT),
        _refusal("*", 404, unknown, grpc_status=GRPC_NOT_FOUND),
        _refusal(names.R_UNKNOWN, 404, misspelled, grpc_status=GRPC_NOT_FOUND),
    ]


def size(limit: int) -> str:
    return f"{limit // MIB} MiB" if limit % MIB == 0 else f"{limit} bytes"


def header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def without(*filters: str) -> Json:
    return {name: typed("envoy.config.route.v3.FilterConfig", disabled=True) for name in filters}


def _read_first(limits: Limits) -> Json:
    """Most HTTP/1.1 clients send all of a body before they listen, and would see a reset where an answer was meant.
    So a body of up to twice the limit is read before it is refused; of anything larger no more than that is read.
    """
    buffer = {"max_request_bytes": 2 * names.largest_body(limits)}
    return {names.BUFFER: typed("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", buffer=buffer)}


def _refusal(name: str, status: int, sentence: str, *, grpc_status: str = "", filters: Json | None = None) -> Json:
    routes: list[Json] = [{"match": {"prefix": "/"}, "direct_response": _say(status, sentence)}]
    if grpc_status:
        routes.insert(0, {
            "match": {"prefix": "/", "grpc": {}},
            "direct_response": _say(status, sentence),
            "response_headers_to_add": [header("grpc-status", grpc_status)],
        })  # fmt: skip
    return {"name": f"refusal-{name}", "domains": [name], "routes": routes,
            "typed_per_filter_config": {**auth.may_infer(), **(filters or {})}}  # fmt: skip


def _say(status: int, sentence: str) -> Json:
    return {"status": status, "body_format": {"text_format_source": {"inline_string": sentence}}}


def _server_level() -> list[Json]:
    """Answered here: a backend's own answer would tell of its extensions, and cost it a connection."""
    bodies: dict[str, Json] = {
        "/v2": {"name": PRODUCT_NAME, "version": PRODUCT_VERSION, "extensions": []},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
    }
    rest = [
        {
            "match": {"path": path, "headers": [_method("GET")]},
            "direct_response": {"status": 200, "body": {"inline_string": names.dump(body).decode()}},
            "response_headers_to_add": [header("content-type", "application/json")],
            "typed_per_filter_config": without(*_GATED, *_GRPC_ONLY),
        }
        for path, body in bodies.items()
    ]
    # The bridge makes plain protobuf of the request, and has it routed again.
    protobuf = {"safe_regex": {"regex": r"application/(grpc(\+proto)?|x-protobuf)"}}
    kind = {"name": "content-type", "string_match": protobuf}
    bridge = typed("envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute", disabled=False)
    grpc = [
        {
            "match": {"path": path, "headers": [_method("POST"), kind]},
            "route": {"cluster": names.ANSWERS, "timeout": "5s"},
            "request_headers_to_remove": ["te"],
            "typed_per_filter_config": {**without(*_GATED, *_GRPC_ONLY), names.BRIDGE: bridge},
        }
        for path in SERVER_RPCS
    ]
    return rest + grpc


def _grpc_doors(*, keyless: bool) -> list[Json]:
    """Stays matched only until the message has been read, so its own answer means that it named no model."""
    policy = auth.may_infer(keyless=keyless)
    answer: Json = {
        "direct_response": _say(400, "The request names no model."),
        "response_headers_to_add": [header("grpc-status", GRPC_INVALID_ARGUMENT)],
        "typed_per_filter_config": policy,
    }
    any_call = {"match": {**_grpc(names.GRPC_DOORS), "headers": [_method("POST")]}, **answer}
    if not keyless:
        return [any_call]
    # A caller without a key may make the gateway hold no more than this before it is known whether that is allowed:
    # Not so for streams: the buffer filter waits for the end of the request, and a stream may wait for answers.
    no_key = [{"name": name, "present_match": True, "invert_match": True} for name in ("x-api-key", "authorization")]
    buffer = {"max_request_bytes": names.KEYLESS_BUFFER_BYTES}
    small = {
        "match": {**_grpc(names.GRPC_UNARY), "headers": [_method("POST"), *no_key]},
        **answer,
        "typed_per_filter_config": {
            **policy, names.BUFFER: typed("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", buffer=buffer),
        },
    }  # fmt: skip
    return [small, any_call]


def _rest_doors(limits: Limits) -> list[Json]:
    """Routed again as soon as the door script has named the service; matched here, only the filters count."""
    infer = {"safe_regex": {"regex": names.REST_INFER}}
    read = {"safe_regex": {"regex": names.REST_READ}}
    small = {"name": "content-length", "range_match": {"start": 0, "end": names.largest_body(limits) + 1}}
    streaming = {"typed_per_filter_config": without(*_GRPC_ONLY)}
    # A body of unknown length is read whole, and so counted, before any of it goes to a backend. One known to be too
    # large comes here as well, see `refusals`.
    buffered = {"typed_per_filter_config": {
        **without(*_GRPC_ONLY), names.BUFFER: typed("envoy.config.route.v3.FilterConfig", config={}),
    }}  # fmt: skip
    answer = {"direct_response": _say(404, "The request names no service.")}
    return [
        {"match": {**infer, "headers": [_method("POST"), small]}, **answer, **streaming},
        {"match": {**infer, "headers": [_method("POST")]}, **answer, **buffered},
        {"match": {**read, "headers": [_method("GET")]}, **answer, **buffered},
    ]


def _nothing_here(match: Json) -> Json:
    return {
        "match": match,
        "direct_response": _say(404, "This path or method is not served here."),
        "typed_per_filter_config": without(*_GATED, *_GRPC_ONLY),
    }


def _grpc(path_regex: str) -> Json:
    return {"safe_regex": {"regex": path_regex}, "grpc": {}}


def _method(name: str) -> Json:
    return {"name": ":method", "string_match": {"exact": name}}
