"""How a refusal is worded and shaped: `{"error": "..."}` for REST, OpenAI's error object, a status for gRPC.

Envoy rewrites its own answers (and those of its filters) with the first mapper that matches. Answers of a backend
pass untouched.
"""

from __future__ import annotations

from services.gateway.envoy import names
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.routes.refusals import COMPRESSED, GRPC_UNIMPLEMENTED, UNPACKED, header, size
from services.gateway.snapshot import Limits
from services.schema import internal_headers

NO_KEY = (
    "This call needs a valid API key, sent as X-API-Key or as Authorization: Bearer."
    " The key is missing, mistyped, expired or revoked."
)
NO_PARAMETER = (
    "The service %REQ(X-SERVICE)% asks for a header that is missing here, or has another value:"
    f" it must have %METADATA(VIRTUAL_HOST:{names.LOG_METADATA}:{names.PARAMETERS})%, each with the value agreed."
)
NOTHING_ELSE = "This connection can become no other protocol, and has no other scheme, than the one that it has."
BAD_PATH = "The path is not spelled in a way that this gateway takes."
GRPC_DEADLINE_EXCEEDED = "4"
GRPC_RESOURCE_EXHAUSTED = "8"
SAID = "%LOCAL_REPLY_BODY%"
# OpenAI's words for a status: type and code.
_OPENAI_KINDS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "insufficient_permissions"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    415: ("invalid_request_error", "unsupported_media_type"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "service_unavailable"),
    504: ("server_error", "timeout"),
}


def local_replies(limits: Limits) -> Json:
    limit = size(limits.max_payload_bytes)
    too_large = f"The request is larger than this gateway's limit of {limit}."
    small = (
        f"Without an API key a gRPC message is limited to {size(names.KEYLESS_BUFFER_BYTES)},"
        " unless the header mm-vmodel-id names its service."
    )
    no_replica = "No replica of the service %ROUTE_NAME% answers right now. A failed one is restarted: try again."
    cut = (
        "The connection over which the service %ROUTE_NAME% had this request was lost before the answer:"
        " the request may have been carried out."
    )
    slow = "The service %ROUTE_NAME% did not answer in time."
    late = "The request's body did not come in within the time that this gateway gives it."
    bearer = header("www-authenticate", "Bearer")
    again = header("retry-after", "1")
    keyless = _header(names.IS_KEYLESS)
    unnamed = _header(names.match(internal_headers.SERVICE, prefix="_"))
    overflow = _details("grpc_field_extraction_FAILED_PRECONDITION")
    unreadable = _details("grpc_field_extraction_INVALID_ARGUMENT")
    unpacked = names.match("grpc-encoding", safe_regex={"regex": "(?i:identity)?"})
    packed = _header({**unpacked, "treat_missing_header_as_empty": True, "invert_match": True})
    return {
        "mappers": [
            *_worded(
                [_details("rbac_access_denied_matched_policy[parameters]"), _status(403)], NO_PARAMETER, status=401
            ),
            # Envoy's own: an upgrade, or a target of https on a connection without TLS.
            *_worded([_status(403), _expression("!response.code_details.startsWith('rbac_')")], NOTHING_ELSE),
            *_worded([keyless, _status(403)], NO_KEY, status=401, headers=[bearer]),
            *_worded([_status(401)], NO_KEY, headers=[bearer]),
            *_worded([unnamed, _status(403)], "This API key may not be used for inference."),
            *_worded([_status(403)], "This API key may not call the service %REQ(X-SERVICE)%."),
            # What a route of our own says has its words already.
            *_worded([_details("direct_response"), _status(413)], SAID, grpc_status=GRPC_RESOURCE_EXHAUSTED),
            *_worded([_details("direct_response"), _status(429)], SAID, grpc_status=GRPC_RESOURCE_EXHAUSTED),
            *_worded([keyless, unnamed, _status(413)], small, grpc_status=GRPC_RESOURCE_EXHAUSTED),
            *_worded([_status(413)], too_large, grpc_status=GRPC_RESOURCE_EXHAUSTED),
            *_worded([overflow], too_large, grpc_status=GRPC_RESOURCE_EXHAUSTED, rest=False),
            *_worded([unreadable, packed], COMPRESSED, grpc_status=GRPC_UNIMPLEMENTED, headers=[UNPACKED], rest=False),
            *_worded([unreadable], "The first message is not a message of the V2 protocol.", rest=False),
            *(mapper for step in names.RETRY_STEPS for mapper in _rate_limited(step)),
            *_too_many(),
            *_worded([_flagged("UH", "UF", "UO", "NC", "URX"), _status(503)], no_replica, headers=[again]),
            # Never tried again by the gateway: a request that was sent may change what a model remembers.
            *_worded([_flagged("UC", "LR", "UR"), _status(503)], cut, headers=[again]),
            # 408: the body is not whole. The headers' own time is the codec's, and has no words.
            *_worded([_details("max_duration_timeout"), _status(408)], late, grpc_status=GRPC_DEADLINE_EXCEEDED),
            *_worded([_status(504)], slow, grpc_status=GRPC_DEADLINE_EXCEEDED),
            # These Envoy refuses without a word.
            *_worded([_details("path_normalization_failed"), _status(400)], BAD_PATH),
            *_worded([_details("missing_host_header"), _status(400)], "The request has no Host header."),
            *_worded([_details("absolute_path_rejected"), _status(404)], BAD_PATH),
            *(mapper for code in (404, 415, 503) for mapper in _worded([_status(code)], SAID)),
            *_worded([_at_least(500)], SAID, status_like=503),
            *_worded([_at_least(400)], SAID),
        ]
    }


def _rate_limited(seconds: int) -> list[Json]:
    """The credential of a limited key says which step is its own."""
    step = _header(names.match(internal_headers.CALLER, contains=f";retry={seconds};"))
    sentence = f"The rate limit of this API key is used up: the next request may come in {seconds} s."
    return _worded([_status(429), step], sentence, headers=[header("retry-after", str(seconds))])


def _too_many() -> list[Json]:
    """A cluster whose circuit breaker is a limit of concurrent requests: of a key (inside.py) or of a service."""
    full = _flagged("UO")
    of_key = "This API key has as many requests under way as it may have: send the next one when one of them is done."
    of_service = "The service %ROUTE_NAME% has as many requests under way as it takes: try again."
    reply: Json = {"status": 429, "grpc_status": GRPC_RESOURCE_EXHAUSTED, "headers": [header("retry-after", "1")]}
    by_key = _expression("xds.cluster_name.contains('=')")  # no service's cluster has that in its name
    return [
        *_worded([full, _status(503), by_key], of_key, **reply),
        *_worded([full, _status(503)], of_service, **reply),
    ]


def _flagged(*flags: str) -> Json:
    """One of Envoy's response flags is set: URX stands beside others when every try was in vain."""
    return {"response_flag_filter": {"flags": list(flags)}}


def _worded(
    conditions: list[Json],
    sentence: str,
    *,
    status: int = 0,
    grpc_status: str = "",
    headers: list[Json] | None = None,
    rest: bool = True,
    status_like: int = 0,
) -> list[Json]:
    """The mapper for gRPC, where the body becomes the status message, the one for OpenAI, and the one for other REST.

    `status` replaces the HTTP status, from which the gRPC status follows unless `grpc_status` is given. OpenAI's type
    of error follows from the status too, or from `status_like`.
    """
    common: Json = {"status_code": status} if status else {}
    grpc = {
        **common,
        "filter": _all([_header(names.match("content-type", prefix="application/grpc")), *conditions]),
        "headers_to_add": [*(headers or []), *([header("grpc-status", grpc_status)] if grpc_status else [])],
        "body_format_override": {"text_format_source": {"inline_string": sentence}},
    }
    plain = {
        **common,
        "filter": _all(conditions),
        "headers_to_add": headers or [],
        "body_format_override": {"json_format": {"error": sentence}},
    }
    openai = {
        **common,
        "filter": _all([*_is_openai(), *conditions]),
        "headers_to_add": headers or [],
        "body_format_override": {"json_format": _openai_error(sentence, status or status_like or _code(conditions))},
    }
    return [grpc, openai, plain] if rest else [grpc]


def _openai_error(sentence: str, status: int) -> Json:
    kind, code = _OPENAI_KINDS.get(status, _OPENAI_KINDS[400])
    return {"error": {"message": sentence, "type": kind, "param": f"%REQ({internal_headers.PARAM})%", "code": code}}


def _code(conditions: list[Json]) -> int:
    """The status that the conditions ask for."""
    compared = [each["status_code_filter"]["comparison"] for each in conditions if "status_code_filter" in each]
    return int(compared[0]["value"]["default_value"]) if compared else 0


def _is_openai() -> list[Json]:
    """The paths below /v1 are OpenAI's, except for KServe's verb."""
    path = names.match(":path", safe_regex={"regex": r"(/services/[^/]+)?/v1/.*"})
    verb = {**names.match(":path", contains=":predict"), "invert_match": True}
    return [_header(path), _header(verb)]


def _all(conditions: list[Json]) -> Json:
    return conditions[0] if len(conditions) == 1 else {"and_filter": {"filters": conditions}}


def _header(matcher: Json) -> Json:
    return {"header_filter": {"header": matcher}}


def _status(code: int, op: str = "EQ") -> Json:
    # The runtime key is required, and never set: the default value counts.
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": code, "runtime_key": "unset"}}}}


def _at_least(code: int) -> Json:
    return _status(code, "GE")


def _details(start: str) -> Json:
    """Matches by the reason that Envoy itself would log."""
    return _expression(f"response.code_details.startsWith('{start}')")


def _expression(expression: str) -> Json:
    return {
        "extension_filter": {
            "name": "expression",
            "typed_config": typed(
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=expression
            ),
        }
    }
