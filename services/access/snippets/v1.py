"""One KServe V1 prediction as curl and Python, and the same over TensorFlow Serving's gRPC. Pure text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final
from urllib.parse import quote

from services.access.doors import Address
from services.access.snippets.python import headers_line
from services.access.snippets.v2 import Snippets, first_lines, lines, shell_headers
from services.clients.inference.call import Model
from services.clients.inference.kserve_v1 import COLUMNS, ROWS, in_rows
from services.clients.inference.wire import has_halves
from services.specs import Tensor

PASTED: Final = 16384
"""Characters of a body; a longer one is read from a file."""
MARK: Final = "\0"
"""Where an expression stands in a text; no name of a tensor has it."""
PYTHON: Final = """import json
{imports}import urllib.request

{headers}
{body}
request = urllib.request.Request(
    {url!r}, json.dumps(body).encode(), {{"content-type": "application/json", **(headers or {{}})}}
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["{answer}"])
"""
ZEROS: Final = """def fill(value, *shape):
    return [fill(value, *shape[1:])] * shape[0] if shape else value


body = {body}"""
AWK: Final = """function fill(value, dims,  sizes, i, many) {
  for (i = split(dims, sizes, " "); i > 0; i--) {
    for (many = value ","; length(many) < sizes[i] * (length(value) + 1); ) many = many many
    value = "[" substr(many, 1, sizes[i] * (length(value) + 1) - 1) "]"
  }
  return value
}
"""
"""`fill("0", "2 3")` is [[0,0,0],[0,0,0]]."""
NEEDS_STUBS: Final = "# Needs stubs of TensorFlow Serving without TensorFlow: pip install min-tfs-client"
TFSERVING: Final = """{imports}

# These stubs were made by an old protoc, which protobuf's compiled parser does not take.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
import grpc
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

{headers}
OPTIONS = [("grpc.max_receive_message_length", -1)]  # grpc takes answers of up to 4 MiB otherwise
request = predict_pb2.PredictRequest()
request.model_spec.name = {service!r}


def put(name, tensor):
    # A map in TensorFlow's own stubs; these older ones may show it as a list of entries.
    inputs = request.inputs
    (inputs[name] if hasattr(inputs, "keys") else inputs.add(key=name).value).CopyFrom(tensor)

{halves}
{inputs}
with {channel} as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=60, metadata=list((headers or {{}}).items()))
outputs = answer.outputs
for name, tensor in outputs.items() if hasattr(outputs, "keys") else [(entry.key, entry.value) for entry in outputs]:
    print(name, {shown})
"""
HALVES: Final = """
def halves(tensor):
    # The bits of 16-bit floats; a BFLOAT16 is the upper half of a 32-bit float.
    if tensor.dtype == types_pb2.DT_HALF:
        return [struct.unpack("<e", struct.pack("<H", bits))[0] for bits in tensor.half_val]
    if tensor.dtype == types_pb2.DT_BFLOAT16:
        return [struct.unpack("<f", struct.pack("<I", bits << 16))[0] for bits in tensor.half_val]
    return tensor

"""
TYPES: Final = {
    "BOOL": ("DT_BOOL", "bool_val", "False"),
    "UINT8": ("DT_UINT8", "int_val", "0"),
    "UINT16": ("DT_UINT16", "int_val", "0"),
    "UINT32": ("DT_UINT32", "uint32_val", "0"),
    "UINT64": ("DT_UINT64", "uint64_val", "0"),
    "INT8": ("DT_INT8", "int_val", "0"),
    "INT16": ("DT_INT16", "int_val", "0"),
    "INT32": ("DT_INT32", "int_val", "0"),
    "INT64": ("DT_INT64", "int64_val", "0"),
    "FP16": ("DT_HALF", "half_val", "0"),
    "FP32": ("DT_FLOAT", "float_val", "0.0"),
    "FP64": ("DT_DOUBLE", "double_val", "0.0"),
    "BF16": ("DT_BFLOAT16", "half_val", "0"),
    "BYTES": ("DT_STRING", "string_val", 'b"hello"'),
}
"""V2 datatype -> TensorFlow's, the field of a TensorProto, a value. One value alone fills the whole shape."""


def v1_snippets(address: Address, body: Mapping[str, Any], model: Model) -> Snippets:
    """`body`: {"instances": ...} or {"inputs": ...}. One without instances stands for an example that is too long to
    be pasted: it is made where it is sent."""
    url = f"{address.base}/v1/models/{quote(address.service, safe='')}:predict"
    first = first_lines(address)
    text = json.dumps(body, ensure_ascii=False)
    is_long = body == {ROWS: []}
    code, piped = f"body = {dict(body)!r}", ""
    data = shlex.quote(text)
    if is_long:
        code, piped, data = ZEROS.format(body=_filled(model, _python_fill)), _awk(model), "@-"
    elif len(text) > PASTED:
        code, data = 'body = json.load(open("body.json"))', "@body.json"
    call = ["curl -sS", shlex.quote(url), *shell_headers(address), "-H 'Content-Type: application/json'", f"-d {data}"]
    rows = in_rows(model) if is_long else ROWS in body
    python = PYTHON.format(
        imports="" if address.public else "import os\n",
        headers=headers_line(address),
        url=url,
        body=code,
        answer="predictions" if rows else "outputs",
    )
    return {
        "curl": "\n".join([*first, piped + lines(*call)]),
        "python_v1": "\n".join([*first, python]),
        "python_tfserving": "\n".join([*first, NEEDS_STUBS, _tfserving(address, model)]),
    }


def _filled(model: Model, fill: Callable[[Tensor, Sequence[int]], str]) -> str:
    """The example of clients.inference.kserve_v1, with an expression for each tensor. JSON and Python, both."""
    rows = in_rows(model)
    values = {tensor.name: fill(tensor, tensor.shape[1:] if rows else tensor.shape) for tensor in model.needed}
    named = ", ".join(f"{json.dumps(name)}: {value}" for name, value in values.items())
    if not rows:
        return f'{{"{COLUMNS}": {{{named}}}}}'
    (first, *others) = values.values()
    return f'{{"{ROWS}": [{{{named}}}]}}' if others else f'{{"{ROWS}": [{first}]}}'


def _python_fill(tensor: Tensor, shape: Sequence[int]) -> str:
    value = {"BYTES": '"hello"', "BOOL": "False"}.get(tensor.datatype, "0")
    return f"fill({', '.join([value, *(str(max(size, 1)) for size in shape)])})"


def _awk(model: Model) -> str:
    """A program that writes the example: any shell has awk."""
    parts: list[str] = []

    def fill(tensor: Tensor, shape: Sequence[int]) -> str:
        value = {"BYTES": '"hello"', "BOOL": "false"}.get(tensor.datatype, "0")
        parts.append(f'fill({_awk_text(value)}, "{" ".join(str(max(size, 1)) for size in shape)}")')
        return MARK

    texts = [_awk_text(text) for text in _filled(model, fill).split(MARK)]
    printed = " ".join(part for pair in zip_longest(texts, parts, fillvalue="") for part in pair if part)
    program = f"{AWK}BEGIN {{ print {printed} }}"
    return f"awk {shlex.quote(program)} |\n"


def _awk_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _tfserving(address: Address, model: Model) -> str:
    """Zeros of the model's shapes: the values of a V1 body need the model's types, which tensors have."""
    rows = []
    for tensor in model.needed:
        kind, field, value = TYPES[tensor.datatype]
        sizes = ", ".join(f"tensor_shape_pb2.TensorShapeProto.Dim(size={max(size, 1)})" for size in tensor.shape)
        rows.append(
            f"put({tensor.name!r}, tensor_pb2.TensorProto(\n"
            f"    dtype=types_pb2.{kind}, {field}=[{value}],\n"
            f"    tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[{sizes}]),\n))"
        )
    channel = f"grpc.insecure_channel({address.host!r}, OPTIONS)"
    if address.tls:
        channel = f"grpc.secure_channel({address.host!r}, grpc.ssl_channel_credentials(), OPTIONS)"
    halves = has_halves(model.outputs)
    return TFSERVING.format(
        imports="import os\nimport struct" if halves else "import os",
        headers=headers_line(address),
        service=address.service,
        inputs="\n".join(rows),
        channel=channel,
        halves=HALVES if halves else "",
        shown="halves(tensor)" if halves else "tensor",
    )
