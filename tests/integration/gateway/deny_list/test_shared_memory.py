"""No request that makes Triton read shared memory reaches it, however the request is spelled or cut."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from tests.integration.gateway.stage import Stage, infer_request, refused, send
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
NAMES = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
FILL = "x" * 300_000


def tensor(parameters: str, data: str = "1") -> bytes:
    return b'{"inputs":[{"name":"a","shape":[1],"datatype":"BYTES","parameters":{%s},"data":["%s"]}]}' % (
        parameters.encode(),
        data.encode(),
    )


def pieces(body: bytes, size: int = 7) -> Iterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


REFUSED = [
    *(tensor(f'"{name}":"r"') for name in NAMES),
    *(tensor(f'"{name}" \n : 5', FILL) for name in NAMES),
    tensor('"a":1,"\\u0073hared_memory_region":"r"'),
    tensor('"shared\\u005fmemory\\u005fregion":"r"'),
    tensor('"shared_memory\\u005Foffset":"r"'),
    b'{"parameters":{"shared_memory_region":"r"}}',
    b'{"outputs":[{"name":"o","parameters":{"shared_memory_region":"r"}}]}',
    b'{"inputs":[{"parameters":{"shared_memory_region":"r"}}]',
    tensor("", FILL)[:-1] + b',"p":{"shared_memory_offset":0}}',
    # Across the border of two pieces in which a large body is looked at.
    *(b" " * (262144 - at) + tensor('"shared_memory_region":"r"') for at in (62, 66, 70, 74, 78, 82)),
]
PASSES = [
    tensor("", "shared_memory_region"),
    tensor("", 'the key \\"shared_memory_region\\": \\u0041\\u00e9'),
    tensor('"shared_memory":1', FILL),
    tensor('"\\u00e9t\\u00e9":1'),
]


@pytest.mark.parametrize("body", REFUSED, ids=range(len(REFUSED)))
def test_a_rest_body_that_names_it_is_refused(stage: Stage, body: bytes) -> None:
    before = stage.count()
    size = str(len(body))
    for sent, headers in (
        (body, {}),
        (pieces(body, max(7, len(body) // 50)), {}),
        (body, {"Inference_Header_Content_Length": size}),
        (body + b"\x00" * 99, {"Inference_Header_Content_Length": size}),
        (body, {"Content_Type": "application/octet-stream", "Inference_Header_Content_Length": size}),
    ):
        answer = stage.gateway.call("POST", INFER, sent, X_API_Key=snapshots.TEAM, **headers)
        assert answer.status == 400, headers
        assert answer.error
    assert stage.count() == before


@pytest.mark.parametrize("body", PASSES, ids=range(len(PASSES)))
def test_the_same_words_in_data_pass(stage: Stage, body: bytes) -> None:
    answer = stage.gateway.call("POST", INFER, body, X_API_Key=snapshots.TEAM)
    assert (answer.status, json.loads(answer.body)["bytes"]) == (200, len(body))


@pytest.mark.parametrize("body", [body for body in REFUSED if b'"inputs"' in body and body.endswith(b"]}")][:9])
@pytest.mark.parametrize("kind", ["application/octet-stream", "Application/Octet-Stream; a=b", "text/plain", "a", ""])
def test_json_of_any_type_is_looked_at(stage: Stage, body: bytes, kind: str) -> None:
    before = stage.count()
    assert stage.gateway.call("POST", INFER, body, X_API_Key=snapshots.TEAM, Content_Type=kind).status == 400
    assert stage.count() == before


def test_behind_the_header_of_a_binary_body_anything_may_be(stage: Stage) -> None:
    head = tensor("")
    body = head + b'"shared_memory_region":\\u0073' * 20_000
    length = str(len(head))
    answer = stage.gateway.call("POST", INFER, body, X_API_Key=snapshots.TEAM, Inference_Header_Content_Length=length)
    assert (answer.status, json.loads(answer.body)["bytes"]) == (200, len(body))


@pytest.mark.parametrize("length", ["-1", "x", "1e9", "99999", "0x", " "])
def test_a_length_of_the_header_that_is_none_is_refused(stage: Stage, length: str) -> None:
    before = stage.count()
    connection = http.client.HTTPConnection("127.0.0.1", stage.gateway.port, timeout=5)
    head = {"X-API-Key": snapshots.TEAM, "Inference-Header-Content-Length": length}
    connection.request("POST", INFER, REFUSED[0], head)
    assert connection.getresponse().status == 400
    connection.close()
    assert stage.count() == before


def with_parameter(where: str, name: str = NAMES[0], size: int = 0) -> Any:
    request = pb.ModelInferRequest(model_name="mnist")
    holder = {"request": request, "input": request.inputs.add(name="a"), "output": request.outputs.add(name="o")}[where]
    holder.parameters[name].string_param = "r"
    request.raw_input_contents.append(bytes(size))
    return request


@pytest.mark.parametrize("where", ["request", "input", "output"])
@pytest.mark.parametrize("size", [0, 300_000, 4 << 20])
def test_a_message_that_names_it_is_refused(stage: Stage, stub: Any, where: str, size: int) -> None:
    before = stage.count()
    for name in NAMES:
        code, message, _ = refused(stub.ModelInfer, with_parameter(where, name, size), key=snapshots.TEAM)
        assert (code, "shared memory" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    assert stage.count() == before


def test_the_same_words_in_the_data_of_a_message_pass(stub: Any) -> None:
    request = infer_request("mnist")
    request.inputs.add(name="shared_memory_region").contents.bytes_contents.append(b"shared_memory_region")
    request.parameters["a"].string_param = "shared_memory_region"
    request.parameters["my_shared_memory_region"].string_param = "a"
    request.raw_input_contents.append(b"shared_memory_offset" * 9)
    assert send(stub.ModelInfer, request, key=snapshots.TEAM).id == str(20 * 9)
    assert len(send(stub.ModelStreamInfer, iter([request] * 2), key=snapshots.TEAM)) == 8


@pytest.mark.parametrize("size", [0, 5, 70_000, 3 << 20])
def test_in_a_stream_such_a_message_reaches_nobody_and_the_others_do(stage: Stage, size: int) -> None:
    instead = "a message with shared memory, which this gateway does not take"
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        good = infer_request("mnist", size)
        requests = iter([good, with_parameter("input", size=size), good])
        answers = send(stub.ModelStreamInfer, requests, key=snapshots.TEAM)
    named = [answer.infer_response.model_name for answer in answers]
    assert named == ["mnist"] * 4 + [instead] * 4 + ["mnist"] * 4
    first = iter([with_parameter("input")])
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert send(stub.ModelStreamInfer, first, key=snapshots.TEAM)[0].infer_response.model_name == instead
