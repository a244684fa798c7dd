"""The one listener: HTTP/1.1 and HTTP/2 on one port, its limits, path hygiene and access log.

Static: a change here drops connections, so whatever changes while the gateway runs is in files of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.gateway.envoy import names
from services.gateway.envoy.cluster import WINDOW_MAX
from services.gateway.envoy.filters import http_filters, subscription
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.replies import local_replies
from services.gateway.envoy.routes.route import ROUTE_NAME
from services.gateway.envoy.tls import Tls, filter_chains
from services.gateway.snapshot import Limits
from services.schema import internal_headers

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
NO_HOST = "localhost"
"""Names no service, whatever the domain: that has a name in front of a dot."""
MAX_STREAMS = 1024
"""At once on one HTTP/2 connection: one client process may well hold some hundred token streams. A stream that waits
costs some tens of KiB; what it may send is bounded by the connection's window, which all its streams share."""
# Never believed from outside. Prefixes: Envoy's own knobs, what the bridge is told, Triton's restricted-protocol and
# Vertex doors.
SPOOFABLE_PREFIXES = (
    "x-envoy-",
    internal_headers.CONSOLE_PREFIX,
    "triton-grpc-protocol-",
    "x-vertex-ai-",
    "x-amzn-sagemaker-",
)
SPOOFABLE = (*internal_headers.INTERNAL, internal_headers.REQUEST_ID, "x-forwarded-host", "x-forwarded-proto")

_INFERENCE = r"/v2/models/[a-z0-9-]+/(versions/[0-9]+/)?infer|/inference\.GRPCInferenceService/Model(Stream)?Infer"


def listener(
    gateway_dir: Path,
    *,
    host: str,
    port: int,
    limits: Limits,
    access_log: Path,
    tls: Tls | None = None,
    proxies: Sequence[str] = (),
) -> Json:
    """`proxies`: networks, as 10.0.0.0/8, of those that may say for whom they forward."""
    manager = {**_manager(gateway_dir, limits, access_log), **_callers(proxies)}
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {
        "name": "inference",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "per_connection_buffer_limit_bytes": names.largest_body(limits),
        **filter_chains(chain, tls, gateway_dir, subscription),
    }


def _callers(proxies: Sequence[str]) -> Json:
    """Whose address is logged: of a forwarded list, from its end, the first that is no named proxy."""
    if not proxies:
        return {"use_remote_address": True}
    pairs = [network.split("/") for network in proxies]
    cidrs = [{"address_prefix": address, "prefix_len": int(length)} for address, length in pairs]
    config = typed("envoy.extensions.http.original_ip_detection.xff.v3.XffConfig", xff_trusted_cidrs={"cidrs": cidrs})
    detection = {"name": "envoy.http.original_ip_detection.xff", "typed_config": config}
    return {"use_remote_address": False, "original_ip_detection_extensions": [detection]}


def _manager(gateway_dir: Path, limits: Limits, access_log: Path) -> Json:
    return typed(
        HCM,
        stat_prefix="gateway",
        codec_type="AUTO",
        server_name="inference-console",
        # Removed before the first route is looked up; a filter would come too late for that.
        early_header_mutation_extensions=[_strip()],
        rds={"config_source": subscription(gateway_dir, names.ROUTES), "route_config_name": ROUTE_NAME},
        http_filters=http_filters(gateway_dir, limits),
        local_reply_config=local_replies(limits),
        access_log=_access_logs(access_log),
        always_set_request_id_in_response=True,
        # Path hygiene: one spelling of a path reaches the routes, or none.
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        common_http_protocol_options={
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": "3600s",
            # A client that sends a byte now and then is never idle. Routes of streams, and of services that take
            # longer, say something else (backends.py).
            "max_stream_duration": f"{limits.body_seconds + limits.request_timeout_seconds}s",
        },
        # As Triton, vLLM and KServe do: `ab` speaks no other, and nginx does by default. Host may be missing there.
        http_protocol_options={"accept_http_10": True, "default_host_for_http_10": NO_HOST},
        http2_protocol_options={
            "max_concurrent_streams": MAX_STREAMS,
            "initial_stream_window_size": min(names.largest_body(limits), WINDOW_MAX),
            "initial_connection_window_size": min(names.largest_body(limits), WINDOW_MAX),
        },
        request_headers_timeout="10s",
        stream_idle_timeout=f"{limits.stream_idle_seconds}s",
        # Time for a client that sends a refused body without listening to come to the answer.
        delayed_close_timeout="5s",
    )


def _strip() -> Json:
    mutations: list[Json] = [{"remove": name} for name in SPOOFABLE]
    mutations += [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in SPOOFABLE_PREFIXES]
    mutations.append(
        {
            "append": {
                "header": {"key": internal_headers.SERVICE, "value": names.AT_THE_DOOR},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        }
    )
    kind = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return {"name": "strip", "typed_config": typed(kind, mutations=mutations)}


def _access_logs(path: Path) -> list[Json]:
    """One JSON object a line. Never a key, never a query: both may hold secrets.

    Envoy's formatter of JSON escapes, and costs twice as much as that of text. So the V2 inferences have a format of
    text: it has no field in which a caller could write a quote, because it is only for paths that hold none.
    """
    usual = names.match(":path", safe_regex={"regex": _INFERENCE})
    unusual = {**usual, "invert_match": True}
    text = "".join(
        (
            '{"time":"%START_TIME%","request_id":"%REQ(X-REQUEST-ID)%",',
            f'"client":"%FILTER_STATE({names.CALLER}:PLAIN)%","service":"%ROUTE_NAME%",',
            '"protocol":"%PROTOCOL%","path":"%PATH(NQ)%","status":%RESPONSE_CODE%,"grpc_status":"%GRPC_STATUS_NUMBER%",',
            '"details":"%RESPONSE_CODE_DETAILS%","flags":"%RESPONSE_FLAGS%",',
            '"bytes_in":%BYTES_RECEIVED%,"bytes_out":%BYTES_SENT%,"ms":%DURATION%,"upstream":"%UPSTREAM_HOST%",',
            f'"door":"%METADATA(ROUTE:{names.LOG_METADATA}:door)%",',
            # Text over gRPC; the bridge writes numbers only.
            '"bridge_prompt_tokens":"%TRAILER(X-PROMPT-TOKENS)%","bridge_completion_tokens":"%TRAILER(X-COMPLETION-TOKENS)%",',
            '"remote":"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}\n',
        )
    )
    return [
        _log("usual", path, usual, {"text_format_source": {"inline_string": text}}),
        _log("file", path, unusual, {"json_format": _fields()}),
    ]


def _log(name: str, path: Path, header: Json, form: Json) -> Json:
    """Both write into one file: Envoy opens it once."""
    config = typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", path=str(path), log_format=form)
    return {"name": name, "filter": {"header_filter": {"header": header}}, "typed_config": config}


def _fields() -> Json:
    return {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "client": f"%FILTER_STATE({names.CALLER}:PLAIN)%",
        "service": "%ROUTE_NAME%",
        "protocol": "%PROTOCOL%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS_NUMBER%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "ms": "%DURATION%",
        "upstream_ms": "%RESPONSE_DURATION%",
        "upstream": "%UPSTREAM_HOST%",
        # A route tells its door, and the scripts what an answer told of tokens. The bridge tells after its own answers.
        "door": f"%METADATA(ROUTE:{names.LOG_METADATA}:door)%",
        "prompt_tokens": f"%DYNAMIC_METADATA({names.LOG_METADATA}:prompt_tokens)%",
        "completion_tokens": f"%DYNAMIC_METADATA({names.LOG_METADATA}:completion_tokens)%",
        "bridge_prompt_tokens": "%TRAILER(X-PROMPT-TOKENS)%",
        "bridge_completion_tokens": "%TRAILER(X-COMPLETION-TOKENS)%",
        "remote": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    }
