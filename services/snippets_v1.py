"""One KServe V1 prediction as curl and Python, and the same over TensorFlow Serving's gRPC. Pure text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from services.clients.inference import Model
from services.doors import Address
from services.snippets import Snippets, first_lines, lines, shell_headers
from services.snippets_python import headers_line

PASTED: Final = 16384
"""Characters of a body; a longer one is read from a file."""
PYTHON: Final = """import json
{imports}import urllib.request

{headers}
body = {body}
request = urllib.request.Request(
    {url!r}, json.dumps(body).encode(), {{"content-type": "application/json", **(headers or {{}})}}
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["{answer}"])
"""
NEEDS_STUBS: Final = "# Needs stubs of TensorFlow Serving without TensorFlow: pip install min-tfs-client"
TFSERVING: Final = """import os

# These stubs were made by an old protoc, which protobuf's compiled parser does not take.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
import grpc
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

{headers}
request = predict_pb2.PredictRequest()
request.model_spec.name = {service!r}


def put(name, tensor):
    # A map in TensorFlow's own stubs; these older ones may show it as a list of entries.
    inputs = request.inputs
    (inputs[name] if hasattr(inputs, "keys") else inputs.add(key=name).value).CopyFrom(tensor)


{inputs}
with {channel} as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=60, metadata=list((headers or {{}}).items()))
outputs = answer.outputs
for name, tensor in outputs.items() if hasattr(outputs, "keys") else [(entry.key, entry.value) for entry in outputs]:
    print(name, tensor)
"""
TYPES: Final = {
    "BOOL": ("DT_BOOL", "bool_val", "False"), "UINT8": ("DT_UINT8", "int_val", "0"),
    "UINT16": ("DT_UINT16", "int_val", "0"), "UINT32": ("DT_UINT32", "uint32_val", "0"),
    "UINT64": ("DT_UINT64", "uint64_val", "0"), "INT8": ("DT_INT8", "int_val", "0"),
    "INT16": ("DT_INT16", "int_val", "0"), "INT32": ("DT_INT32", "int_val", "0"),
    "INT64": ("DT_INT64", "int64_val", "0"), "FP16": ("DT_HALF", "half_val", "0"),
    "FP32": ("DT_FLOAT", "float_val", "0.0"), "FP64": ("DT_DOUBLE", "double_val", "0.0"),
    "BF16": ("DT_BFLOAT16", "half_val", "0"), "BYTES": ("DT_STRING", "string_val", 'b"hello"'),
}  # fmt: skip
"""V2 datatype -> TensorFlow's, the field of a TensorProto, a value. One value alone fills the whole shape."""


def v1_snippets(address: Address, body: Mapping[str, Any], model: Model) -> Snippets:
    """`body`: {"instances": ...} or {"inputs": ...}."""
    url = f"{address.base}/v1/models/{quote(address.service, safe='')}:predict"
    first = first_lines(address)
    text = json.dumps(body, ensure_ascii=False)
    data = shlex.quote(text) if len(text) <= PASTED else "@body.json"
    call = ["curl -sS", shlex.quote(url), *shell_headers(address), "-H 'Content-Type: application/json'", f"-d {data}"]
    imports = "" if address.public else "import os\n"
    python = PYTHON.format(
        imports=imports, headers=headers_line(address), url=url,
        body=repr(dict(body)) if len(text) <= PASTED else 'json.load(open("body.json"))',
        answer="predictions" if "instances" in body else "outputs",
    )  # fmt: skip
    return {
        "curl": "\n".join([*first, lines(*call)]),
        "python_v1": "\n".join([*first, python]),
        "python_tfserving": "\n".join([*first, NEEDS_STUBS, _tfserving(address, model)]),
    }


def _tfserving(address: Address, model: Model) -> str:
    """Zeros of the model's shapes: the values of a V1 body need the model's types, which tensors have."""
    rows = []
    for tensor in model.inputs:
        kind, field, value = TYPES[tensor.datatype]
        sizes = ", ".join(f"tensor_shape_pb2.TensorShapeProto.Dim(size={max(size, 1)})" for size in tensor.shape)
        rows.append(
            f"put({tensor.name!r}, tensor_pb2.TensorProto(\n"
            f"    dtype=types_pb2.{kind}, {field}=[{value}],\n"
            f"    tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[{sizes}]),\n))"
        )
    channel = f"grpc.insecure_channel({address.host!r})"
    if address.tls:
        channel = f"grpc.secure_channel({address.host!r}, grpc.ssl_channel_credentials())"
    return TFSERVING.format(
        headers=headers_line(address), service=address.service,
        inputs="\n".join(rows), channel=channel,
    )  # fmt: skip
