"""Whether a Triton replica still computes, whatever its health endpoint says: one inference of zeros.

For a replica that looks stuck: what the model makes of zeros does not matter, any answer of the server shows that it
still moves, an error too.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final
from urllib.parse import quote

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.clients.inference.datatypes import DTYPES, bytes_per_value
from services.clients.probes import exchange, kserve_v2, required_inputs
from services.errors import ProbeError
from services.listeners import Listeners
from services.specs import Tensor

MOST_BYTES: Final = 8 << 20
"""A larger input is not sent: its way there would say more than the model."""
OPTIONS: Final = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]


def answers(listeners: Listeners, model: str, timeout: float) -> bool:
    """False when it gives no answer within `timeout` seconds; True, too, when there is no way to ask it."""
    try:
        inputs = kserve_v2.model_metadata(listeners.http, model, timeout).inputs
    except ProbeError:
        return False
    if sum(zeros_bytes(tensor) for tensor in inputs) > MOST_BYTES:
        return True
    try:
        status, answer = exchange.post(listeners.http, *request(model, inputs), timeout)
    except ProbeError:
        return False
    if status >= 400 and required_inputs.is_decoupled(answer.decode("utf-8", "replace")):
        return streams(listeners.grpc.target, model, inputs, timeout)
    return True


def shape(tensor: Tensor) -> list[int]:
    """Free dimensions, the batch among them, are 1."""
    return [max(1, size) for size in tensor.shape]


def zeros_bytes(tensor: Tensor) -> int:
    """In the binary tensor extension."""
    size = bytes_per_value(tensor.datatype) if tensor.datatype in DTYPES else 4
    return size * math.prod(shape(tensor))


def request(model: str, inputs: tuple[Tensor, ...]) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of a V2 request in the binary tensor extension."""
    described: list[dict[str, Any]] = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": shape(tensor),
            "parameters": {"binary_data_size": zeros_bytes(tensor)},
        }
        for tensor in inputs
    ]
    head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(bytes(zeros_bytes(tensor)) for tensor in inputs)
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    return f"/v2/models/{quote(model, safe='')}/infer", body, headers


def streams(target: str, model: str, inputs: tuple[Tensor, ...], timeout: float) -> bool:
    """The same of a decoupled model. It may answer zeros with nothing at all: an empty last response is asked for.

    The stream is read to its end: one that is cancelled while the model sends can stay under way in Triton for ever,
    and its model is never unloaded (pull request 8078 of triton-inference-server/server mends some of it).
    """
    message = service_pb2.ModelInferRequest(model_name=model)
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    for tensor in inputs:
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape(tensor))
        message.raw_input_contents.append(bytes(zeros_bytes(tensor)))
    with grpc.insecure_channel(target, options=OPTIONS) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        responses = 0
        try:
            for _ in stub.ModelStreamInfer(iter([message]), timeout=timeout):
                responses += 1
        except grpc.RpcError as error:
            silent = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
            return responses > 0 or error.code() not in silent
    return True
