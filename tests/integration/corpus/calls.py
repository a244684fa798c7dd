"""Sends the requests of a case through the gateway, with a client of each protocol, and compares what comes back."""

from __future__ import annotations

import http.client
import json
import queue
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.corpus.case import HALVES, Arrays, Case, Request, datatype
from tests.integration.corpus.world import World

SECONDS = 60
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


def send_json(world: World, case: Case, request: Request) -> None:
    """V2 REST in JSON alone, by no client."""
    rows = [
        {"name": name, "shape": list(values.shape), "datatype": datatype(values), "data": plain(values)}
        for name, values in request.inputs.items()
    ]
    body: dict[str, Any] = {"inputs": rows}
    if parameters := {**request.parameters, **sequence(case, request, 1)}:
        body["parameters"] = parameters
    version = f"/versions/{request.version}" if request.version else ""
    status, answer = post(world, f"/v2/models/{case.name}{version}/infer", body)
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


def plain(values: NDArray[Any]) -> list[Any]:
    """As V2 writes them in JSON. Triton writes bytes that are no text as they are."""
    return [
        value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
        for value in values.ravel().tolist()
    ]


def send_http(world: World, case: Case, request: Request) -> None:
    """V2 REST by Triton's client, in binary."""
    with httpclient.InferenceServerClient(world.gateway.address, network_timeout=SECONDS) as client:
        inputs = [_input(httpclient, name, values) for name, values in request.inputs.items()]
        options = {**sequence(case, request, 2), **_options(request)}
        call = lambda: client.infer(case.name, inputs, headers={"X-API-Key": world.key}, **options)  # noqa: E731
        if case.decoupled:
            request = replace(request, error=STREAMS)
        if not (result := _refused(call, request)):
            return
        names = [output["name"] for output in result.get_response()["outputs"]]
        compare({name: result.as_numpy(name) for name in names}, request.outputs)


def send_grpc(world: World, case: Case, request: Request) -> None:
    with grpcclient.InferenceServerClient(world.gateway.address) as client:
        inputs = [_input(grpcclient, name, values) for name, values in request.inputs.items()]
        options = {**sequence(case, request, 3), **_options(request)}
        headers = {"x-api-key": world.key}
        if case.decoupled:
            received = stream(client, case.name, inputs, headers, options)
            assert len(received) == len(request.responses)
            for result, expected in zip(received, request.responses, strict=True):
                compare(_arrays(result), expected)
            return
        call = lambda: client.infer(case.name, inputs, headers=headers, client_timeout=SECONDS, **options)  # noqa: E731
        if result := _refused(call, request):
            compare(_arrays(result), request.outputs)


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
    made = client.InferInput(name, list(values.shape), datatype(values))
    made.set_data_from_numpy(values)
    return made


def _options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {"model_version": request.version}
    if request.parameters:
        options["parameters"] = dict(request.parameters)
    return options


def post(world: World, path: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=SECONDS)
    try:
        headers = {"X-API-Key": world.key, "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read().decode(errors="surrogateescape"))
    finally:
        connection.close()
