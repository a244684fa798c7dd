"""The virtual host that every request meets first: the allow-list, and what is answered at the door.

The route matched here also fixes which filters run at all, because Envoy builds a request's filter chain once, from
its first route. So a request for anything unlisted meets no filter, and is 404 before any key is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway.envoy import auth, names
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.routes import cors
from services.gateway.envoy.routes.refusals import GRPC_INVALID_ARGUMENT, NOTHING_HERE, answers, header, say
from services.schema import internal_headers

PRODUCT_NAME = "inference-console"
PRODUCT_VERSION = "0.1.0"
SERVER_RPCS = (
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ServerMetadata",
    "/grpc.health.v1.Health/Check",
)
SERVER_PATHS: dict[str, Json] = {
    "/v2": {"name": PRODUCT_NAME, "version": PRODUCT_VERSION, "extensions": []},
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True},
}

_ALWAYS = (
    names.CORS,
    names.DOOR,
    names.API_KEY,
    names.CALLER,
    names.LIMITS,
    names.GRANT_EARLY,
    names.RATE_LIMIT,
    names.PARAMETERS,
)
_BY_DOOR = (names.FIELDS, names.RESOLVE, names.TYPED, names.GUARD, names.TEXT, names.GRANT)
"""Each door has those of these that it needs."""
_GRPC = (names.FIELDS, names.RESOLVE, names.TYPED, names.TEXT, names.GRANT)
_INFER = (names.GUARD, names.GRANT)
_OPENAI = (names.TEXT, names.GRANT)
_WHOLE: Json = {names.BUFFER: typed("envoy.config.route.v3.FilterConfig", config={})}
RETRY: Json = {
    # Only failures before a replica has the request: an inference is never run twice, since it may change a state.
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    # Over about two seconds, with growing pauses at random: the time in which a listener is opened again.
    "num_retries": 8,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "1s"},
}
_NO_SERVICE: Json = {"direct_response": say(404, "The request names no service.")}


def virtual_host(
    *, keyless: bool, auth_headers: Iterable[str] = (), idle: Iterable[str] = (), origins: tuple[str, ...] = ()
) -> Json:
    """`keyless`: some service is public, so a call without a key may go on until its body names its service.

    `auth_headers` are the headers in which services take keys beside the usual two. `idle` are filters that nothing
    published has a use for: even one that finds nothing to do costs each request some microseconds. `origins` are those
    that some service names.
    """
    named = sorted(set(auth_headers))

    def gated(routes: list[Json]) -> list[Json]:
        for route in routes:
            route["typed_per_filter_config"] = {**route["typed_per_filter_config"], **without(*idle)}
        return (
            [_with_metadata(route, names.LUA_METADATA, {"auth_headers": named}) for route in routes]
            if named
            else routes
        )

    return {
        "name": "doors",
        "domains": [names.AT_THE_DOOR],
        "retry_policy": RETRY,
        # They are tried one after the other: what is called most comes first.
        "routes": [
            *_no_host(),
            # The caller of the usual inference is checked once, after the script that looks at the body.
            *gated(_posted(names.REST_INFER, *_INFER, small=without(names.GRANT_EARLY))),
            *gated(_grpc_doors(named, keyless=keyless)),
            *gated(_openai_doors(named, keyless=keyless)),
            *gated(_posted(names.V1_PREDICT)),
            *_server_level(),
            # Triton's statistics of all models, which look like the metadata of a model named "stats".
            _nothing_here({"safe_regex": {"regex": names.REST_STATS}}),
            *gated(_read_doors(keyless=keyless)),
            *(_preflights() if origins else []),
            _nothing_here({"prefix": "/"}),
        ],
        "typed_per_filter_config": auth.may_infer(),
        **({"metadata": {"filter_metadata": cors.metadata(origins)}} if origins else {}),
    }


def _preflights() -> list[Json]:
    """Without a key, as browsers send them. One that names no service is answered here: its body will name it."""
    filters = {
        **without(*(name for name in _ALWAYS if name != names.CORS), *_BY_DOOR),
        **script(names.PREFLIGHT, names.CORS),
    }
    return [
        {**cors.preflight({"safe_regex": {"regex": regex}}), "typed_per_filter_config": filters}
        for regex in (names.REST_INFER, names.OPENAI, names.V1_PREDICT, names.REST_READ, names.CATALOGUE)
    ]


def only(*filters: str) -> Json:
    """Turn on these filters, and turn off the others that serve only some protocols."""
    return without(*(name for name in _BY_DOOR if name not in filters))


def without(*filters: str) -> Json:
    return {name: typed("envoy.config.route.v3.FilterConfig", disabled=True) for name in filters}


def script(name: str, of: str = names.TEXT) -> Json:
    """Names the script that a filter runs. Where no route does, the text filter runs none, the others one for all."""
    return {of: typed("envoy.extensions.filters.http.lua.v3.LuaPerRoute", name=name)}


def to_bridge(cluster: str, service: str = "") -> Json:
    """Fields of a route to the bridge, which believes what these headers say. Behind the inner listener they are
    there already, and the caller is not.
    """
    headers = {
        internal_headers.CONSOLE_CALLER: f"%REQ({internal_headers.CALLER})%",
        internal_headers.CONSOLE_SERVICE: service,
    }
    return {
        "route": {"cluster": cluster, "host_rewrite_literal": "localhost"},
        "request_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "ADD_IF_ABSENT"}
            for key, value in headers.items()
            if value
        ],
    }


def _no_host() -> list[Json]:
    """RFC 9112: 400 for more than one Host, which Envoy joins by a comma, and for one that is no host."""
    malformed = {**names.match(":authority", safe_regex={"regex": names.HOST}), "invert_match": True}
    sentence = "The request must have one Host, which is a name or an address, and a port at most."
    nothing = without(*_ALWAYS, *_BY_DOOR)
    match = {"prefix": "/", "headers": [malformed]}
    return answers(match, 400, sentence, grpc_status=GRPC_INVALID_ARGUMENT, typed_per_filter_config=nothing)


def _server_level() -> list[Json]:
    """Answered here: a backend's own answer would tell of its extensions, and cost it a connection.

    By a listener of this process, not by the route itself: a client of HTTP/1.0 reads until the connection ends, and
    Envoy lets it wait for seconds where a route answers before the request has been read to its end.
    """
    nothing = without(*_ALWAYS, *_BY_DOOR)
    action: Json = {"cluster": names.ANSWERS, "timeout": "5s"}
    plain = {"pattern": {"regex": r"(/services/[^/]+)?(/v2.*)"}, "substitution": r"\2"}
    rest = [
        {
            "match": {"safe_regex": {"regex": f"(/services/[^/]+)?{path}"}, "headers": [_method("GET")]},
            "route": {**action, "regex_rewrite": plain},
            "typed_per_filter_config": nothing,
        }
        for path in SERVER_PATHS
    ]
    # The bridge filter makes plain protobuf of the request, and has it routed again.
    kind = names.match("content-type", safe_regex={"regex": r"application/(grpc(\+proto)?|x-protobuf)"})
    bridge = typed("envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute", disabled=False)
    grpc = [
        {
            "match": {"path": path, "headers": [_method("POST"), kind]},
            "route": action,
            "request_headers_to_remove": ["te"],
            "typed_per_filter_config": {**nothing, names.BRIDGE: bridge},
        }
        for path in SERVER_RPCS
    ]
    return rest + grpc


def _grpc_doors(auth_headers: list[str], *, keyless: bool) -> list[Json]:
    """Stays matched only until the message has been read, so its own answer means that it named no model."""
    policy = auth.may_infer(keyless=keyless)
    answer: Json = {
        "direct_response": say(400, "The request names no model."),
        "response_headers_to_add": [header("grpc-status", GRPC_INVALID_ARGUMENT)],
        "typed_per_filter_config": {**policy, **only(*_GRPC)},
    }
    # The usual call without a regular expression. Its script holds the message, and reads the name by itself.
    usual = {"path": names.GRPC_INFER, "grpc": {}, "headers": [_method("POST")]}
    reads = {**policy, **only(*_GRPC), **without(names.FIELDS), **script(names.INFER, names.RESOLVE)}
    every = [
        {"match": usual, **answer, "typed_per_filter_config": reads},
        *({"match": {**_grpc(regex), "headers": [_method("POST")]}, **answer} for regex in names.GRPC_DOORS),
    ]
    if not keyless:
        return every
    # A caller without a key may make the gateway hold no more than this before it is known whether that is allowed:
    # Not so for streams: the buffer filter waits for the end of the request, and a stream may wait for answers.
    held = {**answer["typed_per_filter_config"], **_held(names.KEYLESS_BUFFER_BYTES)}
    no_key = [_method("POST"), *_no_key(auth_headers)]
    small = [
        {"match": {**_grpc(regex), "headers": no_key}, **answer, "typed_per_filter_config": held}
        for regex in names.GRPC_KEYLESS
    ]
    return [*small, *every]


def _posted(regex: str, *filters: str, small: Json | None = None, **more: Json) -> list[Json]:
    """Routed again as soon as a script has named the service; matched here, only the filters count.

    `small`: what else holds for a body that is small and says so. Any other is read whole, and so counted, before any
    of it goes to a backend, and before it is refused: most HTTP/1.1 clients send all of it before they listen.
    """
    match: Json = {"safe_regex": {"regex": regex}}
    config = {**only(*filters), **more}
    return [
        {
            "match": {**match, "headers": [_method("POST"), _length(names.SMALL_BODY_BYTES)]},
            **_NO_SERVICE,
            "typed_per_filter_config": {**config, **(small or {})},
        },
        {
            "match": {**match, "headers": [_method("POST")]},
            **_NO_SERVICE,
            "typed_per_filter_config": {**config, **_WHOLE},
        },
    ]


def _openai_doors(auth_headers: list[str], *, keyless: bool) -> list[Json]:
    every = _posted(names.OPENAI, *_OPENAI, **auth.may_infer(keyless=keyless), **script("openai"))
    if not keyless:
        return every
    held = {**every[0]["typed_per_filter_config"], **_held(names.KEYLESS_BUFFER_BYTES)}
    match = {"safe_regex": {"regex": names.OPENAI}, "headers": [_method("POST"), *_no_key(auth_headers)]}
    return [{"match": match, **_NO_SERVICE, "typed_per_filter_config": held}, *every]


def _read_doors(*, keyless: bool) -> list[Json]:
    def read(regex: str) -> Json:
        return {"safe_regex": {"regex": regex}, "headers": [_method("GET")]}

    policy = auth.may_infer(keyless=keyless)
    return [
        {"match": read(names.REST_READ), **_NO_SERVICE, "typed_per_filter_config": {**only(), **_WHOLE}},
        # What a key may use is told by the bridge; when the host or the path names a service, by that service's route.
        _with_metadata(
            {
                "match": read(names.CATALOGUE),
                **to_bridge(names.BRIDGE_HTTP),
                "typed_per_filter_config": {**policy, **only(), **_WHOLE},
            },
            names.LOG_METADATA,
            {"door": "catalogue"},
        ),
    ]


def _with_metadata(route: Json, whom: str, what: Json) -> Json:
    filter_metadata = route.get("metadata", {}).get("filter_metadata", {})
    return {**route, "metadata": {"filter_metadata": {**filter_metadata, whom: what}}}


def _held(most: int) -> Json:
    buffer = {"max_request_bytes": most}
    return {names.BUFFER: typed("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", buffer=buffer)}


def _no_key(auth_headers: list[str]) -> list[Json]:
    missing = {"treat_missing_header_as_empty": True}
    bearer = names.match("authorization", safe_regex={"regex": "(?i:bearer) +.+"})
    empty = ({**names.match(name, exact=""), **missing} for name in ("x-api-key", *auth_headers))
    return [{**bearer, **missing, "invert_match": True}, *empty]


def _nothing_here(match: Json) -> Json:
    return {
        "match": match,
        "direct_response": say(404, NOTHING_HERE),
        "typed_per_filter_config": without(*_ALWAYS, *_BY_DOOR),
    }


def _grpc(path_regex: str) -> Json:
    return {"safe_regex": {"regex": path_regex}, "grpc": {}}


def _length(most: int) -> Json:
    """A body that says how long it is, and is no longer than that."""
    return {"name": "content-length", "range_match": {"start": 0, "end": most + 1}}


def _method(name: str) -> Json:
    return names.match(":method", exact=name)
