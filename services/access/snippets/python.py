"""The Python snippets: the same call with tritonclient, over HTTP and over gRPC. Pure text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from services.access.doors import Address
from services.clients.inference.call import Input, SequenceStep
from services.clients.inference.caller import KEY_SHOWN
from services.clients.inference.datatypes import DTYPES
from services.clients.inference.wire import plain

NUMPY: Final = {
    **{name: f"np.{dtype.name}" for name, dtype in DTYPES.items()},
    "BOOL": "np.bool_",
    "BF16": "ml_dtypes.bfloat16",
    "BYTES": "np.object_",
}
STREAM: Final = """
answers = queue.Queue()
client.start_stream(callback=lambda result, error: answers.put((result, error)), headers=headers)
client.async_stream_infer({service}, inputs, enable_empty_final_response=True{more})
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
"""


def python_http(
    address: Address, inputs: Sequence[Input], *, in_json: bool, zeros: bool, step: SequenceStep | None = None
) -> str:
    """`in_json`: inputs as JSON, else with the binary tensor extension. tritonclient gets all outputs by that."""
    lines = _imports("tritonclient.http as triton", inputs, "" if address.public else "os")
    lines.append(headers_line(address))
    how = ", binary_data=False" if in_json else ""
    lines += [f"client = triton.InferenceServerClient({_target(address)})", *_inputs(inputs, zeros, how)]
    lines += [
        f"result = client.infer({address.service!r}, inputs, headers=headers{_arguments(step)})",
        'for output in result.get_response()["outputs"]:',
        '    print(output["name"], result.as_numpy(output["name"]))',
    ]
    return "\n".join(lines) + "\n"


def python_grpc(
    address: Address, inputs: Sequence[Input], *, stream: bool, zeros: bool, step: SequenceStep | None = None
) -> str:
    """`stream`: for a decoupled model, every response as it comes."""
    lines = _imports("tritonclient.grpc as triton", inputs, "" if address.public else "os", "queue" if stream else "")
    lines.append(headers_line(address))
    lines += [f"client = triton.InferenceServerClient({_target(address)})", *_inputs(inputs, zeros, "")]
    if stream:
        return "\n".join(lines) + STREAM.format(service=repr(address.service), more=_arguments(step))
    lines += [
        f"result = client.infer({address.service!r}, inputs, headers=headers{_arguments(step)})",
        "for output in result.get_response().outputs:",
        "    print(output.name, result.as_numpy(output.name))",
    ]
    return "\n".join(lines) + "\n"


def _arguments(step: SequenceStep | None) -> str:
    return "".join(f", {name}={value!r}" for name, value in step.parameters().items()) if step else ""


def _target(address: Address) -> str:
    return f"{address.host!r}, ssl=True" if address.tls else repr(address.host)


def headers_line(address: Address, name: str = "headers") -> str:
    """An assignment; the key comes from the environment."""
    pairs = [f"{key!r}: {literal(value)}" for key, value in address.headers().items()]
    return f"{name} = {{{', '.join(pairs)}}}" if pairs else f"{name} = None"


def literal(value: str) -> str:
    """A header's value as a Python expression."""
    if KEY_SHOWN not in value:
        return repr(value)
    before = value.removesuffix(KEY_SHOWN)
    return f"{before!r} + os.environ['API_KEY']" if before else "os.environ['API_KEY']"


def _imports(client: str, inputs: Sequence[Input], *standard: str) -> list[str]:
    plain_ones = [f"import {name}" for name in standard if name]
    third = ["import ml_dtypes"] if any(item.datatype == "BF16" for item in inputs) else []
    return [*plain_ones, *([""] if plain_ones else []), *third, "import numpy as np", f"import {client}", ""]


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
