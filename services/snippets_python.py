"""The Python snippets: the same call with tritonclient, over HTTP and over gRPC. Pure text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from services.clients.inference import Input
from services.clients.inference_wire import plain

NUMPY: Final = {
    "BOOL": "np.bool_", "UINT8": "np.uint8", "UINT16": "np.uint16", "UINT32": "np.uint32", "UINT64": "np.uint64",
    "INT8": "np.int8", "INT16": "np.int16", "INT32": "np.int32", "INT64": "np.int64", "FP16": "np.float16",
    "FP32": "np.float32", "FP64": "np.float64", "BF16": "ml_dtypes.bfloat16", "BYTES": "np.object_",
}  # fmt: skip
HEADERS: Final = 'headers = {"authorization": f"Bearer {os.environ[\'API_KEY\']}"}'
STREAM: Final = '''
answers = queue.Queue()
client.start_stream(callback=lambda result, error: answers.put((result, error)), headers=headers)
client.async_stream_infer({service}, inputs, enable_empty_final_response=True)
while True:
    result, error = answers.get(timeout=60)
    if error is not None:
        raise SystemExit(str(error))
    response = result.get_response()
    for output in response.outputs:
        print(output.name, result.as_numpy(output.name))
    if response.parameters["triton_final_response"].bool_param:
        break
client.stop_stream()
'''


def python_http(
    service: str, inputs: Sequence[Input], target: str, *, authorized: bool, in_json: bool, zeros: bool
) -> str:
    """`target`: host:port. `in_json`: tensors as JSON, else with the binary tensor extension."""
    lines = _imports("tritonclient.http as triton", inputs, "os" if authorized else "")
    lines += _headers(authorized)
    how = ", binary_data=False" if in_json else ""
    lines += [f"client = triton.InferenceServerClient({target!r})", *_inputs(inputs, zeros, how)]
    lines += [
        f"result = client.infer({service!r}, inputs, headers=headers)",
        'for output in result.get_response()["outputs"]:',
        '    print(output["name"], result.as_numpy(output["name"]))',
    ]
    return "\n".join(lines) + "\n"


def python_grpc(
    service: str, inputs: Sequence[Input], target: str, *, authorized: bool, stream: bool, zeros: bool
) -> str:
    """`stream`: for a decoupled model, every response as it comes."""
    lines = _imports("tritonclient.grpc as triton", inputs, "os" if authorized else "", "queue" if stream else "")
    lines += _headers(authorized)
    lines += [f"client = triton.InferenceServerClient({target!r})", *_inputs(inputs, zeros, "")]
    if stream:
        return "\n".join(lines) + STREAM.format(service=repr(service))
    lines += [
        f"result = client.infer({service!r}, inputs, headers=headers)",
        "for output in result.get_response().outputs:",
        "    print(output.name, result.as_numpy(output.name))",
    ]
    return "\n".join(lines) + "\n"


def _imports(client: str, inputs: Sequence[Input], *standard: str) -> list[str]:
    plain_ones = [f"import {name}" for name in standard if name]
    third = ["import ml_dtypes"] if any(item.datatype == "BF16" for item in inputs) else []
    return [*plain_ones, *([""] if plain_ones else []), *third, "import numpy as np", f"import {client}", ""]


def _headers(authorized: bool) -> list[str]:
    return [HEADERS if authorized else "headers = None"]


def _inputs(inputs: Sequence[Input], zeros: bool, how: str) -> list[str]:
    lines = ["inputs = []"]
    for item in inputs:
        lines += [
            f"values = {_array(item, zeros)}",
            f"inputs.append(triton.InferInput({item.name!r}, {list(item.shape)!r}, {item.datatype!r}))",
            f"inputs[-1].set_data_from_numpy(values{how})",
        ]
    return lines


def _array(item: Input, zeros: bool) -> str:
    shape, dtype = list(item.shape), NUMPY[item.datatype]
    if zeros and item.datatype == "BYTES":
        return f'np.full({shape!r}, b"", dtype=np.object_)'
    if zeros:
        return f"np.zeros({shape!r}, dtype={dtype})"
    values = list(item.values.ravel()) if item.datatype == "BYTES" else plain(item.values)
    return f"np.array([{', '.join(_literal(value) for value in values)}], dtype={dtype}).reshape({shape!r})"


def _literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)
