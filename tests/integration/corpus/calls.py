"""Sends the requests of a case with a client of each protocol, and compares what comes back."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from services.clients.inference.datatypes import DTYPES
from services.clients.inference.wire import CONTENTS, parameter_field
from tests.corpus.case import HALVES, Arrays, Case, Request, datatype
from tests.integration.corpus.server import SECONDS, Server

Send = Callable[[Server, Case, Request], None]
STREAMS = "decoupled"
"""In what HTTP, which has one response for a request, says of models that stream."""


def compare(received: Mapping[str, NDArray[Any]], expected: Arrays) -> None:
    assert sorted(received) == sorted(expected)
    for name, values in expected.items():
        assert received[name].shape == values.shape, name
        if values.dtype == object:
            assert received[name].ravel().tolist() == values.ravel().tolist(), name
        else:
            np.testing.assert_array_equal(np.asarray(received[name], values.dtype), values, name)


def sequence(case: Case, request: Request, protocol: int) -> dict[str, Any]:
    """Parameters of the sequence that the case is: each protocol has one of its own."""
    if not case.stateful:
        return {}
    return {"sequence_id": 100 + protocol, "sequence_start": request.start, "sequence_end": request.end}


def send_json(server: Server, case: Case, request: Request) -> None:
    """V2 REST in JSON alone, by no client."""
    rows = [
        {"name": name, "shape": list(values.shape), "datatype": datatype(values), "data": plain(values)}
        for name, values in request.inputs.items()
    ]
    body: dict[str, Any] = {"inputs": rows}
    if parameters := {**request.parameters, **sequence(case, request, 1)}:
        body["parameters"] = parameters
    if request.requested:
        body["outputs"] = [_requested(name, classes) for name, classes in request.requested.items()]
    version = f"/versions/{request.version}" if request.version else ""
    content = json.dumps(body, ensure_ascii=all(map(_is_text, request.inputs.values())))
    status, answer = server.post(f"/v2/models/{case.name}{version}/infer", content.encode(errors="surrogateescape"))
    if any(datatype(values) in HALVES for values in request.inputs.values()):
        assert status == 400 and "JSON" in answer["error"], answer
        return
    if case.decoupled:
        assert status >= 400 and STREAMS in answer["error"], answer
        return
    if request.error:
        assert (status, request.error in answer["error"]) == (request.status, True), answer
        return
    if any(datatype(values) in HALVES for values in request.outputs.values()):
        assert status == 400 and "JSON" in answer["error"], answer
        return
    assert status == 200, answer
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert sorted(outputs) == sorted(request.outputs)
    for name, values in request.outputs.items():
        output = outputs[name]
        assert (output["datatype"], output["shape"]) == (datatype(values), list(values.shape)), output
        if values.dtype.kind == "f":
            np.testing.assert_array_equal(np.array(output["data"], values.dtype), values.ravel(), name)
        else:
            assert output["data"] == plain(values), name


def _requested(name: str, classes: int) -> dict[str, Any]:
    return {"name": name, **({"parameters": {"classification": classes}} if classes else {})}


def _is_text(values: NDArray[Any]) -> bool:
    try:
        return values.dtype != object or all(value.decode() or True for value in values.ravel())
    except UnicodeDecodeError:
        return False


def plain(values: NDArray[Any]) -> list[Any]:
    """As V2 writes them in JSON. Triton reads and writes bytes that are no text as they are."""
    return [
        value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
        for value in values.ravel().tolist()
    ]


def send_http(server: Server, case: Case, request: Request) -> None:
    """V2 REST by Triton's client, in binary."""
    with httpclient.InferenceServerClient(server.http, network_timeout=SECONDS) as client:
        inputs = [_input(httpclient, name, values) for name, values in request.inputs.items()]
        options = {**sequence(case, request, 2), **_options(httpclient, request)}
        call = lambda: client.infer(case.name, inputs, headers=dict(server.headers), **options)  # noqa: E731
        if case.decoupled:
            request = replace(request, error=STREAMS)
        if not (result := _refused(call, request)):
            return
        names = [output["name"] for output in result.get_response()["outputs"]]
        compare({name: result.as_numpy(name) for name in names}, request.outputs)


def send_grpc(server: Server, case: Case, request: Request) -> None:
    with grpcclient.InferenceServerClient(server.grpc) as client:
        inputs = [_input(grpcclient, name, values) for name, values in request.inputs.items()]
        options = {**sequence(case, request, 3), **_options(grpcclient, request)}
        headers = dict(server.headers)
        if case.decoupled:
            received = stream(client, case.name, inputs, headers, options)
            assert len(received) == len(request.responses)
            for result, expected in zip(received, request.responses, strict=True):
                compare(_arrays(result), expected)
            return
        call = lambda: client.infer(case.name, inputs, headers=headers, client_timeout=SECONDS, **options)  # noqa: E731
        if result := _refused(call, request):
            compare(_arrays(result), request.outputs)


def send_contents(server: Server, case: Case, request: Request) -> None:
    """V2 gRPC with values in the typed fields of each tensor, by no client. There is none for 16-bit floats."""
    if any(datatype(values) in HALVES for values in request.inputs.values()):
        return
    message = service_pb2.ModelInferRequest(model_name=case.name, model_version=request.version)
    for name, value in {**request.parameters, **sequence(case, request, 4)}.items():
        setattr(message.parameters[name], parameter_field(value), value)
    for name, values in request.inputs.items():
        tensor = message.inputs.add(name=name, datatype=datatype(values), shape=values.shape)
        getattr(tensor.contents, CONTENTS[datatype(values)]).extend(values.ravel().tolist())
    for name, classes in request.requested.items():
        output = message.outputs.add(name=name)
        if classes:
            output.parameters["classification"].int64_param = classes
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options=options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = {"metadata": list(server.headers.items()), "timeout": SECONDS}
        try:
            if case.decoupled:
                responses = [answer.infer_response for answer in stub.ModelStreamInfer(iter([message]), **call)]
            else:
                responses = [stub.ModelInfer(message, **call)]
        except grpc.RpcError as error:
            assert request.error and request.error in error.details(), error
            return
    assert not request.error and len(responses) == len(request.responses)
    for response, expected in zip(responses, request.responses, strict=True):
        compare({output.name: _values(response, index) for index, output in enumerate(response.outputs)}, expected)


def _values(response: Any, index: int) -> Any:
    """Triton's client reads raw contents and texts only; Triton answers typed contents with typed ones."""
    output = response.outputs[index]
    if response.raw_output_contents:
        return grpcclient.InferResult(response).as_numpy(output.name)
    typed = getattr(output.contents, CONTENTS[output.datatype])
    return np.array(typed, dtype=DTYPES[output.datatype]).reshape(tuple(output.shape))


def stream(client: Any, name: str, inputs: Any, headers: Any, options: Any) -> list[Any]:
    """The responses that hold something, until the one that is the last."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)), headers=headers)
    client.async_stream_infer(name, inputs, enable_empty_final_response=True, **options)
    received = []
    while True:
        result, error = answers.get(timeout=SECONDS)
        assert error is None, error
        response = result.get_response()
        if response.outputs:
            received.append(result)
        if response.parameters["triton_final_response"].bool_param:
            client.stop_stream()
            return received


def _refused(call: Any, request: Request) -> Any:
    """What the client gives; None for an error that is expected."""
    if not request.error:
        return call()
    try:
        call()
    except InferenceServerException as error:
        assert request.error in str(error)
        return None
    raise AssertionError("it was to be refused")


def _arrays(result: Any) -> dict[str, Any]:
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def _input(client: Any, name: str, values: NDArray[Any]) -> Any:
    tensor = client.InferInput(name, list(values.shape), datatype(values))
    tensor.set_data_from_numpy(values)
    return tensor


def _options(client: Any, request: Request) -> dict[str, Any]:
    parameters = dict(request.parameters)
    options: dict[str, Any] = {"model_version": request.version}
    options |= {name: parameters.pop(name) for name in ("priority", "timeout") if name in parameters}
    if parameters:
        options["parameters"] = parameters
    if request.requested:
        options["outputs"] = [
            client.InferRequestedOutput(name, class_count=classes) for name, classes in request.requested.items()
        ]
    return options
