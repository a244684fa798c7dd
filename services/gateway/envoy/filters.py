"""The HTTP filters, in the order in which a request meets them.

cors         Lua, only where some service names origins, for requests that name one: what a page there may read
door         Lua: digest of the key, name of the service when the headers tell it
api-key      the digest must be known: 401, and everything after may trust `x-caller`
caller       the key's id, kept for the access log
limits       Lua, only for keys with a limit of requests: which bucket and which clusters stand for it
grant-early  403, when the service is known by now; any key that may infer, when it is not. Not for small V2 REST bodies
rate-limit   429
buffer       only REST bodies that do not say their length: 413
fields       gRPC only, but for ModelInfer: reads the model's name out of the first message
resolve      gRPC only, Lua: that name chooses the service; nothing but tensors is in the message
typed        gRPC only, Lua, where resolve asks for it: the answer with typed contents, as the request has them
guard        V2 REST only, Lua: nothing but tensors is in the body
text         OpenAI, and answers of the bridge to text over gRPC, Lua: what is in the body, tokens used
parameters   401, when the service wants a header that is not there
grant        403 for a service known only now, or for a body that no script has passed
bridge       only server-level gRPC calls: makes a gRPC answer out of plain bytes
router
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.gateway.envoy import auth, encoding, names
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.ratelimit import rate_limit
from services.gateway.envoy.routes.refusals import size
from services.gateway.snapshot import Limits
from services.schema import internal_headers

LIMITED: Json = {"safe_regex": {"google_re2": {}, "regex": ".*;(rate|hop)=.*"}}
ANYTHING: Json = {"safe_regex": {"google_re2": {}, "regex": ".+"}}
LUA = Path(__file__).resolve().parent.parent / "lua"
_HTTP = "envoy.extensions.filters.http."
_V2 = "inference.GRPCInferenceService."
_TFSERVING = "tensorflow.serving.PredictionService."
FIELD_BY_METHOD = {
    _V2 + "ModelInfer": "model_name",
    _V2 + "ModelInferStream": "model_name",
    _V2 + "ModelStreamInfer": "model_name",
    _V2 + "ModelReady": "name",
    _V2 + "ModelMetadata": "name",
    _TFSERVING + "Predict": "model_spec.name",
    _TFSERVING + "GetModelMetadata": "model_spec.name",
}
_DOOR = ("numbers.lua", "door/sha256.lua", "model.lua", "door/naming.lua", "door/door.lua")
_CORS = ("model.lua", "door/naming.lua", "door/cors.lua")
_GUARD = (
    "numbers.lua",
    "refusal.lua",
    "v2/shapes.lua",
    "json.lua",
    "v2/sequence.lua",
    "v2/classes.lua",
    "v2/guard.lua",
)
_RESOLVE = (
    "model.lua",
    "refusal.lua",
    "v2/shapes.lua",
    "v2/protobuf.lua",
    "v2/message.lua",
    "v2/sequence.lua",
    "v2/classes.lua",
    "v2/resolve.lua",
)
MORE_FIELDS = {_V2 + "ModelStreamInfer": ("parameters",)}
"""Read beside the name. In a stream no script sees the first message before the replica is chosen."""


def http_filters(gateway_dir: Path, limits: Limits) -> list[Json]:
    largest = names.largest_body(limits)
    return [
        _filter(names.CORS, _where("origin", ANYTHING, _filter(names.CORS, _cors(limits)))),
        _filter(names.DOOR, _lua(limits, *_DOOR)),
        _discovered(gateway_dir, names.KEYS, names.API_KEY, "api_key_auth.v3.ApiKeyAuth"),
        _filter(names.CALLER, _caller()),
        _filter(names.LIMITS, _where(internal_headers.CALLER, LIMITED, _limits(limits))),
        _filter(names.GRANT_EARLY, auth.nobody()),
        _filter(names.RATE_LIMIT, _where(internal_headers.BUCKET, ANYTHING, _filter(names.RATE_LIMIT, rate_limit()))),
        {**_filter(names.BUFFER, typed(_HTTP + "buffer.v3.Buffer", max_request_bytes=largest)), "disabled": True},
        _filter(names.FIELDS, _fields(gateway_dir)),
        _filter(names.RESOLVE, _resolve(limits)),
        _filter(
            names.TYPED,
            _where(internal_headers.TYPED, {"exact": "1"}, _filter(names.TYPED, _lua(limits, "v2/typed.lua"))),
        ),
        _filter(names.GUARD, _lua(limits, *_GUARD)),
        _filter(names.TEXT, _text(limits)),
        _filter(names.PARAMETERS, typed("envoy.extensions.filters.http.rbac.v3.RBAC")),
        _filter(names.GRANT, auth.nobody()),
        {**_filter(names.BRIDGE, _bridge()), "disabled": True},
        _filter("router", typed(_HTTP + "router.v3.Router", suppress_envoy_headers=True, dynamic_stats=False)),
    ]


def subscription(gateway_dir: Path, file: str) -> Json:
    """Envoy watches for moves onto this path, not for edits, so files must be replaced by rename."""
    return {"path_config_source": {"path": str(gateway_dir / encoding.file_name(file))}, "resource_api_version": "V3"}


def _filter(name: str, config: Json) -> Json:
    return {"name": name, "typed_config": config}


def _discovered(gateway_dir: Path, file: str, name: str, kind: str) -> Json:
    """Without its file the filter answers 500 to every request: never does a request pass for lack of keys."""
    source = {"config_source": subscription(gateway_dir, file), "type_urls": [names.TYPE + _HTTP + kind]}
    return {"name": name, "config_discovery": source}


def _lua(limits: Limits, *files: str, ending: Mapping[str, str] | None = None) -> Json:
    """`ending`: name -> the file that makes another script of these, for routes that ask for it by that name."""
    named = {name: {"inline_string": _source(limits, *files, last)} for name, last in (ending or {}).items()}
    return typed(
        _HTTP + "lua.v3.Lua",
        default_source_code={"inline_string": _source(limits, *files)},
        **({"source_codes": named} if named else {}),
    )


def _limits(limits: Limits) -> Json:
    return _filter(names.LIMITS, _lua(limits, "numbers.lua", "door/limits.lua"))


def _cors(limits: Limits) -> Json:
    return _lua(limits, *_CORS, ending={names.PREFLIGHT: "door/preflight.lua"})


def _where(header: str, value: Json, inner: Json) -> Json:
    """The filter for requests whose header has such a value by now; to all others it does nothing."""
    header_input = typed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=header)
    predicate = {"single_predicate": {"input": {"name": header, "typed_config": header_input}, "value_match": value}}
    skip = {"name": "skip", "typed_config": typed("envoy.extensions.filters.common.matcher.action.v3.SkipFilter")}
    return typed(
        "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        extension_config=inner,
        xds_matcher={
            "matcher_list": {"matchers": [{"predicate": {"not_matcher": predicate}, "on_match": {"action": skip}}]}
        },
    )


def _text(limits: Limits) -> Json:
    """No script by default: the native gRPC calls, which share the filter chain, run none."""
    files = (
        "numbers.lua",
        "model.lua",
        "refusal.lua",
        "json.lua",
        "text/openai.lua",
        "text/usage.lua",
        "text/text.lua",
    )
    return typed(_HTTP + "lua.v3.Lua", source_codes={"openai": {"inline_string": _source(limits, *files)}})


def _resolve(limits: Limits) -> Json:
    return _lua(limits, *_RESOLVE, ending={names.INFER: "v2/infer.lua"})


def _source(limits: Limits, *files: str) -> str:
    source = "\n".join((LUA / file).read_text(encoding="utf-8") for file in files)
    values = {
        "@LARGEST_BODY@": str(names.largest_body(limits)),
        "@FRAMING@": str(names.FRAMING_BYTES),
        "@LIMIT@": size(limits.max_payload_bytes),
        "@DOMAIN@": limits.domain.lower(),
        "@DOOR@": names.AT_THE_DOOR,
        "@KEYLESS@": names.KEYLESS,
        "@UNKNOWN@": names.R_UNKNOWN,
        "@ENCODED@": names.R_ENCODED,
        "@TOO_LARGE@": names.R_TOO_LARGE,
        "@NO_LENGTH@": names.R_NO_LENGTH,
        "@CONFLICT@": names.R_CONFLICT,
        "@REFUSED@": names.R_REFUSED,
        "@TYPE@": names.R_TYPE,
        "@TOKENS@": names.R_TOKENS,
        "@LOG@": names.LOG_METADATA,
        "@CORS@": names.CORS,
        "@PREFLIGHT@": names.PREFLIGHTS,
        "@EXPOSED@": ", ".join(names.EXPOSED),
    }
    for placeholder, value in values.items():
        source = source.replace(placeholder, value)
    return source


def _caller() -> Json:
    """Kept beside the request, for the access log: the header itself is gone by the time that is written."""
    value = {
        "object_key": names.CALLER,
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": f"%REQ({internal_headers.CALLER}):12%"}},
    }
    return typed(_HTTP + "set_filter_state.v3.Config", on_request_headers=[value])


def _fields(gateway_dir: Path) -> Json:
    return typed(
        _HTTP + "grpc_field_extraction.v3.GrpcFieldExtractionConfig",
        descriptor_set={"filename": str(gateway_dir / names.DESCRIPTORS)},
        extractions_by_method={
            method: {"request_field_extractions": {field: {} for field in (name, *MORE_FIELDS.get(method, ()))}}
            for method, name in FIELD_BY_METHOD.items()
        },
    )


def _bridge() -> Json:
    return typed(
        _HTTP + "grpc_http1_reverse_bridge.v3.FilterConfig",
        content_type="application/x-protobuf",
        withhold_grpc_frames=True,
    )
