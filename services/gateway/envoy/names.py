"""The names that the parts of the gateway's configuration share: files, filters, paths, clusters.

Those of headers are in services/schema/internal_headers.py.
"""

from __future__ import annotations

import json
from typing import Any, Final

from services.gateway.snapshot import Limits
from services.schema import internal_headers

TYPE: Final = "type.googleapis.com/"

# Files in the gateway directory.
BOOTSTRAP: Final = "bootstrap.json"
DESCRIPTORS: Final = "inference.pb"
CLUSTERS: Final = "cds.json"
ROUTES: Final = "rds.json"
KEYS: Final = "keys.json"
ACCESS_LOG: Final = "log/access.log"
"""Not beside the files that Envoy watches: each line would wake a watch of that folder."""
ADMIN_SOCKET: Final = "admin.sock"

# HTTP filters, in the order in which a request meets them.
CORS: Final = "cors"
DOOR: Final = "door"
API_KEY: Final = "api-key"
CALLER: Final = "caller"
LIMITS: Final = "limits"
GRANT_EARLY: Final = "grant-early"
RATE_LIMIT: Final = "rate-limit"
BUFFER: Final = "buffer"
FIELDS: Final = "fields"
RESOLVE: Final = "resolve"
TYPED: Final = "typed"
GUARD: Final = "guard"
TEXT: Final = "text"
PARAMETERS: Final = "parameters"
GRANT: Final = "grant"
BRIDGE: Final = "bridge"

INFER: Final = "infer"
"""A script of the filter RESOLVE, for the route that asks for it by name."""

PREFLIGHT: Final = "preflight"
"""A script of the filter CORS, likewise."""

LUA_METADATA: Final = "envoy.filters.http.lua"
"""Where a route keeps what it tells the scripts."""
LOG_METADATA: Final = "console"
"""Where a route and the scripts keep what they tell the access log."""

AT_THE_DOOR: Final = "_door"
"""What the header SERVICE holds when a request comes in."""
# What the Lua scripts put into the header SERVICE when no service can be looked up. "_" is in no service name.
R_TOO_LARGE: Final = "_too_large"
R_NO_LENGTH: Final = "_no_length"
R_ENCODED: Final = "_encoded"
R_CONFLICT: Final = "_conflict"
R_UNKNOWN: Final = "_unknown"
R_REFUSED: Final = "_refused"
R_TYPE: Final = "_type"
R_TOKENS: Final = "_tokens"

PREFLIGHTS: Final = "_preflight:"
"""In front of the name of a service that a preflight is about: what answers it, and nothing else, is found by that."""
EXPOSED: Final = (
    "Inference-Header-Content-Length",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
"""Headers that a page may read of an answer, besides those that it always may."""

KEYLESS: Final = "keyless-call"
"""Stands for the key of a caller who sent none; as long as a key's id, because the first 12 characters are the id."""

GRPC_SERVICE: Final = "/inference.GRPCInferenceService/"
GRPC_INFER: Final = GRPC_SERVICE + "ModelInfer"
GRPC_STREAM: Final = GRPC_SERVICE + "ModelStreamInfer"
GRPC_TEXT_STREAM: Final = GRPC_SERVICE + "ModelInferStream"
"""One request, a stream of answers: not in the protocol, but spoken by servers of text."""
GRPC_TFSERVING: Final = "/tensorflow.serving.PredictionService/"
_TFSERVING_DOORS: Final = r"/tensorflow\.serving\.PredictionService/(Predict|GetModelMetadata)"
# More than one, because Envoy takes no long regular expression.
GRPC_DOORS: Final = (
    r"/inference\.GRPCInferenceService/Model(Infer|InferStream|StreamInfer|Metadata|Ready)",
    _TFSERVING_DOORS,
)
GRPC_KEYLESS: Final = (
    r"/inference\.GRPCInferenceService/Model(Infer|InferStream|Metadata|Ready)",
    _TFSERVING_DOORS,
)
"""All but the call whose client may go on sending: those are read to their end before they go on."""
# A service may be named in front of every REST path.
_SERVICES: Final = r"(/services/[^/]+)?"
REST_INFER: Final = _SERVICES + r"/v2/models/[^/]+(/versions/[0-9]+)?/infer"
REST_READ: Final = _SERVICES + r"/v2/models/[^/]+(/versions/[0-9]+)?(/ready)?"
REST_STATS: Final = _SERVICES + r"/v2/models/stats"
OPENAI: Final = _SERVICES + r"/v1/(chat/completions|completions|embeddings)"
V1_PREDICT: Final = _SERVICES + r"/v1/models/[^/]+(:|%3[Aa])predict"
CATALOGUE: Final = _SERVICES + r"/v1/models(/[^/]+)?"
OPENAI_BY_TASK: Final = {
    "chat": ("/v1/chat/completions", "/v1/completions"),
    "completion": ("/v1/completions",),
    "embedding": ("/v1/embeddings",),
}

HOST: Final = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\])(:[0-9]{0,5})?"
"""What a Host may be: no list, no user in front of it, and not nothing."""

ANSWERS: Final = "answers"
"""The internal listener, and its cluster, that answers server-level gRPC calls at the door."""

BRIDGE_HTTP: Final = "_bridge_http"
BRIDGE_GRPC: Final = "_bridge_grpc"
"""The clusters of the bridge process. "_" is in no service name, so no service has clusters of these names."""

RETRY_STEPS: Final = (1, 2, 3, 5, 10, 20, 30, 60)
"""Seconds that a Retry-After of a rate limit may say."""

FRAMING_BYTES: Final = 64 << 10
"""What a request may add to the largest tensor: names, shapes, the JSON header of the binary extension."""
KEYLESS_BUFFER_BYTES: Final = 1 << 20
SMALL_BODY_BYTES: Final = 64 << 10
"""Held without asking first whether its caller may call the service: a check less on the way of most inferences."""

Json = dict[str, Any]


def largest_body(limits: Limits) -> int:
    """Bytes of the largest request that passes."""
    return limits.max_payload_bytes + FRAMING_BYTES


def typed(kind: str, **fields: Any) -> Json:
    return {"@type": TYPE + kind, **fields}


def match(header: str, **how: Any) -> Json:
    """Matches requests by a header: exact, prefix, contains or safe_regex."""
    return {"name": header, "string_match": how}


IS_KEYLESS: Final = match(internal_headers.CALLER, exact=f"{KEYLESS};")


def static_endpoints(cluster: str, address: Json) -> Json:
    """The load assignment of a cluster with one address."""
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def http_cluster(service: str) -> str:
    return f"{service}-http"


def grpc_cluster(service: str) -> str:
    return f"{service}-grpc"


def dump(value: Any) -> bytes:
    """JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
