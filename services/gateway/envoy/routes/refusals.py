"""One virtual host per reason why a request reaches no service, and the parts that native answers are made of.

A script never answers by itself: it names one of these, and the answer is given where keys have been checked.
"""

from __future__ import annotations

from services.gateway.envoy import auth, names
from services.gateway.envoy.names import Json, typed
from services.gateway.snapshot import MIB, Limits
from services.schema import internal_headers

GRPC_INVALID_ARGUMENT = "3"
GRPC_NOT_FOUND = "5"
GRPC_RESOURCE_EXHAUSTED = "8"
GRPC_UNIMPLEMENTED = "12"
NOTHING_HERE = "This path or method is not served here."
COMPRESSED = "Compressed messages are not supported here: send them as they are."


def refusals(limits: Limits, *, keyless: bool = False) -> list[Json]:
    """`keyless`: some service is public, so a caller without a key is told what is wrong with a body."""
    too_large = f"The request is larger than this gateway's limit of {size(limits.max_payload_bytes)}."
    unbounded = "A request in HTTP/1.0 must say how long its body is, in Content-Length."
    kind = "The body must be JSON, with the content type application/json."
    conflict = (
        "The request names different services, in the header mm-vmodel-id, the host, the path or the body:"
        " name the same one everywhere, or leave the others out."
    )
    misspelled = "No service is named %REQ(X-MODEL)%: names are lower-case letters, digits and hyphens."
    tokens = "The tokens per minute of this API key are used up: the next request may come in %REQ(X-RETRY)% s."
    return [
        _refusal(names.R_TOO_LARGE, 413, too_large, filters=_read_first(limits)),
        _refusal(names.R_NO_LENGTH, 411, unbounded, keyless=keyless),
        _encoded(keyless=keyless),
        _refusal(names.R_TYPE, 415, kind, keyless=keyless),
        _refusal(names.R_CONFLICT, 400, conflict, grpc_status=GRPC_INVALID_ARGUMENT),
        _refusal(names.R_REFUSED, 400, "%REQ(X-REASON)%", grpc_status=GRPC_INVALID_ARGUMENT, keyless=keyless),
        _refusal(names.R_TOKENS, 429, tokens, grpc_status=GRPC_RESOURCE_EXHAUSTED, headers=[again()]),
        _unknown(),
        _refusal(f"{names.PREFLIGHTS}*", 404, NOTHING_HERE),
        _refusal(names.R_UNKNOWN, 404, misspelled, grpc_status=GRPC_NOT_FOUND),
    ]


def _unknown() -> Json:
    """The same for an adapter of a service without any and of a service that is not there."""
    adapter: Json = {"prefix": "/", "headers": [names.match(internal_headers.SERVICE, contains=":")]}
    sentence = "No service has an adapter that is named %REQ(X-SERVICE)%: only language models have any."
    refusal = _refusal("*", 404, "No service is named %REQ(X-SERVICE)%.", grpc_status=GRPC_NOT_FOUND)
    return {
        **refusal,
        "routes": [
            *answers(adapter, 404, sentence, grpc_status=GRPC_NOT_FOUND),
            *refusal["routes"],
        ],
    }


def _encoded(*, keyless: bool) -> Json:
    """Each says what is taken instead: RFC 9110 (15.5.16), and gRPC's document on compression."""
    sentence = "Content-Encoding is not supported here: send the body as it is."
    grpc: Json = {
        "match": {"prefix": "/", "grpc": {}},
        "direct_response": say(415, COMPRESSED),
        "response_headers_to_add": [header("grpc-status", GRPC_UNIMPLEMENTED), UNPACKED],
    }
    refusal = _refusal(names.R_ENCODED, 415, sentence, headers=[_IDENTITY], keyless=keyless)
    return {**refusal, "routes": [grpc, *refusal["routes"]]}


def size(limit: int) -> str:
    return f"{limit // MIB} MiB" if limit % MIB == 0 else f"{limit} bytes"


def again() -> Json:
    """Retry-After, as the script worked it out."""
    return header("retry-after", "%REQ(X-RETRY)%")


def header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


UNPACKED = header("grpc-accept-encoding", "identity")
_IDENTITY = header("accept-encoding", "identity")


def say(status: int, sentence: str) -> Json:
    return {"status": status, "body_format": {"text_format_source": {"inline_string": sentence}}}


def answers(match: Json, status: int, sentence: str, *, grpc_status: str, **more: object) -> list[Json]:
    """The same answer for gRPC, with its own status, and for REST."""
    grpc: Json = {"match": {**match, "grpc": {}}, "direct_response": say(status, sentence), **more}
    headers = [*grpc.get("response_headers_to_add", []), header("grpc-status", grpc_status)]
    rest: Json = {"match": match, "direct_response": say(status, sentence), **more}
    return [{**grpc, "response_headers_to_add": headers}, rest]


def _read_first(limits: Limits) -> Json:
    """Most HTTP/1.1 clients send all of a body before they listen, and would see a reset where an answer was meant.
    So a body of up to twice the limit is read before it is refused; of anything larger no more than that is read.
    """
    buffer = {"max_request_bytes": 2 * names.largest_body(limits)}
    return {names.BUFFER: typed("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", buffer=buffer)}


def _refusal(
    name: str,
    status: int,
    sentence: str,
    *,
    grpc_status: str = "",
    filters: Json | None = None,
    headers: list[Json] | None = None,
    keyless: bool = False,
) -> Json:
    more: Json = {"response_headers_to_add": headers} if headers else {}
    anything: Json = {"prefix": "/"}
    routes: list[Json] = (
        answers(anything, status, sentence, grpc_status=grpc_status, **more)
        if grpc_status
        else [{"match": anything, "direct_response": say(status, sentence), **more}]
    )
    return {
        "name": f"refusal-{name}",
        "domains": [name],
        "routes": routes,
        "typed_per_filter_config": {**auth.may_infer(keyless=keyless), **(filters or {})},
    }
