"""One V2 inference as curl, Python (HTTP and gRPC) and grpcurl, each runnable as pasted. Pure: values in, text out.
Those of KServe V1 are in snippets_v1, those of text in snippets_text.

The key is taken from the environment variable API_KEY and stands in no snippet. Inputs of more than PASTED_BYTES are
not pasted: zeros of the same shape stand in for them, and the snippet says so.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from services.access.doors import Address
from services.access.snippets.decode import KEEP, SHOW
from services.access.snippets.python import python_grpc, python_http
from services.clients.inference.call import Input, SequenceStep
from services.clients.inference.caller import KEY_SHOWN
from services.clients.inference.values import bytes_per_value
from services.clients.inference.wire import (
    CONTENTS,
    binary_header,
    fits_json,
    has_halves,
    json_request,
    parameter_field,
    plain,
    raw_bytes,
)
from services.specs import Tensor

PASTED_BYTES: Final = 8192
METHOD: Final = "inference.GRPCInferenceService/{}"
NEEDS_KEY: Final = "# Needs an API key: export API_KEY='isk_...'"
NEEDS_NOTHING: Final = "# This service is public: no API key is needed."
ZEROS: Final = "# The values are zeros of the same shape and type: {} bytes are too many to paste."
PROTOSET: Final = "# Needs inference.protoset in this directory: download it from the test page of the console."

Snippets = Mapping[str, str]
"""Id -> text; LABELS has a label for each id."""
LABELS: Final = {
    "curl": "curl",
    "curl_v1": "curl, KServe V1",
    "python_openai": "Python, openai",
    "javascript": "JavaScript",
    "python_http": "Python, HTTP",
    "python_v1": "Python, KServe V1",
    "python_grpc": "Python, gRPC",
    "python_tfserving": "Python, TensorFlow Serving gRPC",
    "grpcurl": "grpcurl",
}


def snippets(
    address: Address,
    inputs: Sequence[Input],
    *,
    decoupled: bool = False,
    binary: bool = False,
    outputs: Sequence[Tensor] = (),
    step: SequenceStep | None = None,
) -> Snippets:
    """One V2 inference. curl and grpcurl are for a POSIX shell; the Python ones need `pip install tritonclient[http]`
    or `[grpc]`.

    `decoupled`: by a stream of gRPC, which nothing else carries. `binary`: HTTP with the binary tensor extension, which
    inputs and outputs that JSON cannot hold use anyway. `outputs`: those of the model.
    """
    raw = [_size(item) for item in inputs]
    zeros = sum(raw) > PASTED_BYTES
    first = first_lines(address) + ([ZEROS.format(f"{sum(raw):,}")] if zeros else [])
    in_json = not (zeros or binary) and all(fits_json(item) for item in inputs)
    texts = {
        "python_grpc": python_grpc(address, inputs, stream=decoupled, zeros=zeros, step=step),
        "grpcurl": f"{PROTOSET}\n{_grpcurl(address, inputs, stream=decoupled, zeros=zeros, step=step)}",
    }
    if not decoupled:
        texts = {
            "curl": _curl(address, inputs, raw, in_json=in_json, zeros=zeros, outputs=outputs, step=step),
            "python_http": python_http(address, inputs, in_json=in_json, zeros=zeros, step=step),
            **texts,
        }
    return {name: "\n".join([*first, text]) for name, text in texts.items()}


def first_lines(address: Address) -> list[str]:
    """What a snippet needs from outside, as a comment of shells and of Python."""
    return [NEEDS_NOTHING if address.public else NEEDS_KEY]


def shell_headers(address: Address) -> list[str]:
    """Arguments of curl and grpcurl: the key from the environment, and what else the service asks for."""
    return [f"-H {_shell(name, value)}" for name, value in address.headers().items()]


def _shell(name: str, value: str) -> str:
    if KEY_SHOWN not in value:
        return shlex.quote(f"{name}: {value}")
    return '"' + f"{name}: {value}".replace(KEY_SHOWN, "${API_KEY:?}") + '"'


def _size(item: Input) -> int:
    """Raw bytes of the real values."""
    if item.datatype != "BYTES":
        return int(item.values.size) * bytes_per_value(item.datatype)
    return sum(4 + len(value) for value in item.values.ravel())


def _empty_size(item: Input) -> int:
    """Raw bytes of zeros. For BYTES, zeros are empty texts: four bytes of length each."""
    return int(item.values.size) * bytes_per_value(item.datatype)


def _curl(
    address: Address,
    inputs: Sequence[Input],
    raw: Sequence[int],
    *,
    in_json: bool,
    zeros: bool,
    outputs: Sequence[Tensor],
    step: SequenceStep | None,
) -> str:
    url = shlex.quote(f"{address.base}/v2/models/{quote(address.service, safe='')}/infer")
    key = shell_headers(address)
    if in_json:
        body = shlex.quote(json.dumps(json_request(inputs, outputs, step)))
        call = ("curl -sS", url, *key, "-H 'Content-Type: application/json'", f"-d {body}")
        return f"{lines(*call, KEEP)}\n{SHOW}" if has_halves(outputs) else lines(*call)
    head = binary_header(inputs, [_empty_size(item) for item in inputs] if zeros else raw, step).decode()
    if zeros:
        values = f"head -c {sum(_empty_size(item) for item in inputs)} /dev/zero"
    else:
        values = f"printf %s {shlex.quote(_base64(inputs))} | base64 -d"
    length = f"-H 'Inference-Header-Content-Length: {len(head)}'"
    kind = "-H 'Content-Type: application/octet-stream'"
    binary = lines("curl -sS", url, *key, kind, length, "--data-binary @-", KEEP)
    return f"{{ printf %s {shlex.quote(head)}; {values}; }} |\n{binary}\n{SHOW}"


def _base64(inputs: Sequence[Input]) -> str:
    return base64.b64encode(b"".join(raw_bytes(item.values) for item in inputs)).decode()


def _grpcurl(address: Address, inputs: Sequence[Input], *, stream: bool, zeros: bool, step: SequenceStep | None) -> str:
    service, target = address.service, address.host
    method = METHOD.format("ModelStreamInfer" if stream else "ModelInfer")
    plain_text = "" if address.tls else " -plaintext"
    call = (f"grpcurl{plain_text} -max-msg-sz 134217728 -protoset inference.protoset", *shell_headers(address))
    if zeros:
        parts = [f"head -c {_empty_size(item)} /dev/zero | base64 | tr -d '\\n'" for item in inputs]
        head = json.dumps(grpc_json(service, inputs, step, contents=False))[:-1] + ', "raw_input_contents": ["'
        between = "; printf %s '\", \"'; ".join(parts)
        producer = f"{{ printf %s {shlex.quote(head)}; {between}; printf %s '\"]}}'; }} |"
        return f"{producer}\n{lines(*call, '-d @', target, method)}"
    return lines(*call, f"-d {shlex.quote(json.dumps(grpc_json(service, inputs, step)))}", target, method)


def grpc_json(
    service: str, inputs: Sequence[Input], step: SequenceStep | None = None, *, contents: bool = True
) -> dict[str, Any]:
    """A ModelInferRequest in protobuf's JSON: typed contents, or raw ones for all when an input has no typed ones."""
    typed = all(item.datatype in CONTENTS for item in inputs)
    rows = []
    for item in inputs:
        row: dict[str, Any] = {"name": item.name, "datatype": item.datatype, "shape": list(item.shape)}
        if contents and typed:
            row["contents"] = {CONTENTS[item.datatype]: _proto_values(item)}
        rows.append(row)
    request: dict[str, Any] = {"model_name": service, "inputs": rows}
    if step:
        request["parameters"] = {name: {parameter_field(value): value} for name, value in step.parameters().items()}
    if contents and not typed:
        request["raw_input_contents"] = [base64.b64encode(raw_bytes(item.values)).decode() for item in inputs]
    return request


def _proto_values(item: Input) -> list[Any]:
    """bytes in base64; NaN and infinities as protobuf's JSON names them."""
    if item.datatype == "BYTES":
        return [base64.b64encode(value).decode() for value in item.values.ravel()]
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [names.get(str(value), value) for value in plain(item.values)]


def lines(*parts: str) -> str:
    return " \\\n  ".join(parts)
