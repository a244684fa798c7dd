"""The same call as curl, Python (HTTP and gRPC) and grpcurl, each runnable as pasted. Pure: values in, text out.

The key is taken from the environment variable API_KEY and stands in no snippet. Inputs of more than PASTED_BYTES are
not pasted: zeros of the same shape stand in for them, and the snippet says so.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from services.clients.inference import Input
from services.clients.inference_values import bytes_per_value
from services.clients.inference_wire import CONTENTS, binary_header, fits_json, json_request, plain, raw_bytes
from services.snippets_python import python_grpc, python_http

PASTED_BYTES: Final = 8192
METHOD: Final = "inference.GRPCInferenceService/{}"
NEEDS_KEY: Final = "# Needs an API key: export API_KEY='isk_...'"
NEEDS_NOTHING: Final = "# This service is public: no API key is needed."
ZEROS: Final = "# The values are zeros of the same shape and type: {} bytes are too many to paste."
PROTOSET: Final = "# Needs inference.protoset in this directory: download it from the test page of the console."


@dataclass(frozen=True)
class Snippets:
    """curl and grpcurl are for a POSIX shell; the Python ones need `pip install tritonclient[http]` or `[grpc]`."""

    curl: str
    python_http: str
    python_grpc: str
    grpcurl: str


def snippets(
    service: str, inputs: Sequence[Input], *, http_url: str, grpc_target: str, decoupled: bool = False,
    authorized: bool = True, binary: bool = False,
) -> Snippets:
    """`http_url`: "http://host:port"; `grpc_target`: "host:port". `authorized`: with a key.

    `decoupled`: gRPC by stream. `binary`: HTTP with the binary tensor extension, which inputs that JSON cannot hold
    use anyway.
    """
    raw = [_size(item) for item in inputs]
    zeros = sum(raw) > PASTED_BYTES
    first = [NEEDS_KEY if authorized else NEEDS_NOTHING, *([ZEROS.format(f"{sum(raw):,}")] if zeros else [])]
    in_json = not (zeros or binary) and all(fits_json(item) for item in inputs)
    url = f"{http_url}/v2/models/{quote(service, safe='')}/infer"
    return Snippets(
        curl="\n".join([*first, _curl(url, inputs, raw, authorized=authorized, in_json=in_json, zeros=zeros)]),
        python_http="\n".join([*first, python_http(
            service, inputs, http_url.partition("://")[2], authorized=authorized, in_json=in_json, zeros=zeros)]),
        python_grpc="\n".join([*first, python_grpc(
            service, inputs, grpc_target, authorized=authorized, stream=decoupled, zeros=zeros)]),
        grpcurl="\n".join([*first, PROTOSET, _grpcurl(
            service, inputs, grpc_target, authorized=authorized, stream=decoupled, zeros=zeros)]),
    )  # fmt: skip


def _size(item: Input) -> int:
    """Raw bytes of the real values."""
    if item.datatype != "BYTES":
        return int(item.values.size) * bytes_per_value(item.datatype)
    return sum(4 + len(value) for value in item.values.ravel())


def _empty_size(item: Input) -> int:
    """Raw bytes of zeros. For BYTES, zeros are empty texts: four bytes of length each."""
    return int(item.values.size) * bytes_per_value(item.datatype)


def _curl(
    url: str, inputs: Sequence[Input], raw: Sequence[int], *, authorized: bool, in_json: bool, zeros: bool
) -> str:
    key = ['-H "Authorization: Bearer ${API_KEY:?}"'] if authorized else []
    if in_json:
        body = shlex.quote(json.dumps(json_request(inputs)))
        return _lines("curl -sS", shlex.quote(url), *key, "-H 'Content-Type: application/json'", f"-d {body}")
    head = binary_header(inputs, [_empty_size(item) for item in inputs] if zeros else raw).decode()
    if zeros:
        values = f"head -c {sum(_empty_size(item) for item in inputs)} /dev/zero"
    else:
        values = f"printf %s {shlex.quote(_base64(inputs))} | base64 -d"
    length = f"-H 'Inference-Header-Content-Length: {len(head)}'"
    kind = "-H 'Content-Type: application/octet-stream'"
    kept = "--data-binary @- --output answer.bin -w 'HTTP %{http_code}, see answer.bin\\n'"
    call = _lines("curl -sS", shlex.quote(url), *key, kind, length, kept)
    return f"{{ printf %s {shlex.quote(head)}; {values}; }} |\n{call}"


def _base64(inputs: Sequence[Input]) -> str:
    return base64.b64encode(b"".join(raw_bytes(item.values) for item in inputs)).decode()


def _grpcurl(
    service: str, inputs: Sequence[Input], target: str, *, authorized: bool, stream: bool, zeros: bool
) -> str:
    key = ['-H "authorization: Bearer ${API_KEY:?}"'] if authorized else []
    method = METHOD.format("ModelStreamInfer" if stream else "ModelInfer")
    call = ("grpcurl -plaintext -max-msg-sz 134217728 -protoset inference.protoset", *key)
    if zeros:
        parts = [f"head -c {_empty_size(item)} /dev/zero | base64 | tr -d '\\n'" for item in inputs]
        head = json.dumps(grpc_json(service, inputs, contents=False))[:-1] + ', "raw_input_contents": ["'
        between = "; printf %s '\", \"'; ".join(parts)
        made = f"{{ printf %s {shlex.quote(head)}; {between}; printf %s '\"]}}'; }} |"
        return f"{made}\n{_lines(*call, '-d @', target, method)}"
    return _lines(*call, f"-d {shlex.quote(json.dumps(grpc_json(service, inputs)))}", target, method)


def grpc_json(service: str, inputs: Sequence[Input], *, contents: bool = True) -> dict[str, Any]:
    """A ModelInferRequest in protobuf's JSON: typed contents, or raw ones for all when an input has no typed ones."""
    typed = all(item.datatype in CONTENTS for item in inputs)
    rows = []
    for item in inputs:
        row: dict[str, Any] = {"name": item.name, "datatype": item.datatype, "shape": list(item.shape)}
        if contents and typed:
            row["contents"] = {CONTENTS[item.datatype]: _proto_values(item)}
        rows.append(row)
    made: dict[str, Any] = {"model_name": service, "inputs": rows}
    if contents and not typed:
        made["raw_input_contents"] = [base64.b64encode(raw_bytes(item.values)).decode() for item in inputs]
    return made


def _proto_values(item: Input) -> list[Any]:
    """bytes in base64; NaN and infinities as protobuf's JSON names them."""
    if item.datatype == "BYTES":
        return [base64.b64encode(value).decode() for value in item.values.ravel()]
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [names.get(str(value), value) for value in plain(item.values)]


def _lines(*parts: str) -> str:
    return " \\\n  ".join(parts)
