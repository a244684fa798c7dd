"""No request for classes reaches a backend that it would end: an output must be known to have numbers, and some."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.gateway.snapshot import Snapshot
from tests.integration.gateway.stage import Stage, refused, send, staged
from tests.servers.gateway.rig import until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
KEY = snapshots.ADMIN
CLASSES = "classification"
SAFE = "scores"
ODD = 'a "øut"\\'
"""Another name of an output that can be classified."""
FILL = "x" * 300_000
SENTENCE = "The output {} cannot be classified: leave its parameter classification out."


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("g")) as running:
        scored = snapshots.ready("scored", running.first.endpoint, classes=(SAFE, ODD))
        sequences = replace(scored, name="counter", uid="counter", sequences=True)
        snapshot = Snapshot((*running.snapshot.services, scored, sequences), running.snapshot.keys)
        running.gateway.publish(snapshot)
        until(lambda: running.gateway.call("GET", "/v2/models/counter/ready", X_API_Key=KEY).status == 200)
        yield running


def body(outputs: str, more: str = "", data: str = "1") -> bytes:
    text = '{"inputs":[{"name":"a","shape":[1],"datatype":"BYTES","data":["%s"]}],"outputs":%s%s}'
    return (text % (data, outputs, more)).encode()


def output(name: str, parameters: str = '"classification":1') -> str:
    return f'{{"name":{json.dumps(name)},"parameters":{{{parameters}}}}}'


def listed(*outputs: str, **more: str) -> bytes:
    return body(f"[{','.join(outputs)}]", **more)


WORDS, SCORES = output("words"), output(SAFE)
REFUSED = {
    "another output": listed(WORDS),
    "after one that can be": listed(SCORES, WORDS),
    "before one that can be": listed(WORDS, SCORES),
    "no classes": listed(output("words", '"classification":0')),
    "a text": listed(output("words", '"classification":"1"')),
    "blanks": listed('{ "parameters" :\n{ "classification" \t\r\n: 1 } , "name" : "words" }'),
    "many blanks": listed(output("words", '"classification"' + " " * 300_000 + ":1")),
    "among others": listed(output("words", '"binary_data":true,"classification":2,"a":1')),
    "escaped": listed(output("words", r'"\u0063lassification":1')),
    "escaped at the end": listed(output(SAFE, r'"classificatio\u006E":1')),
    "twice": listed(output(SAFE, '"classification":1,"classification":1')),
    "two names": listed('{"name":"scores","name":"words","parameters":{"classification":1}}'),
    "no name": listed('{"parameters":{"classification":1}}'),
    "a name that is no text": listed('{"name":["scores"],"parameters":{"classification":1}}'),
    "a name that goes on": listed(output(SAFE + "\0")),
    "two parameters": listed('{"name":"words","parameters":{"classification":1},"parameters":{}}'),
    "deeper": listed('{"name":"scores","parameters":{"a":{"classification":1}}}'),
    "beside": listed('{"name":"scores","classification":1}'),
    "no list": body('{"name":"scores","parameters":{"classification":1}}'),
    "two lists": listed(SCORES, more=f',"outputs":[{WORDS}]'),
    "after much data": listed(WORDS, data=FILL),
    # Across the border of two pieces in which a large body is looked at.
    **{f"border {at}": b" " * (262144 - at) + listed(WORDS) for at in range(94, 126, 3)},
    "no end": listed(WORDS)[:-1],
}
PASSES = {
    "values": listed('{"name":"words"}', output("words", "")),
    "an output that can be": listed(SCORES),
    "one of two": listed('{"name":"words"}', SCORES),
    "an odd name": listed(output(ODD)),
    "an odd name as it is": listed(output(ODD).replace(r"\u00f8", "ø")),
    "in data": listed('{"name":"words"}', data=r"\"parameters\": {\"classification\": 1}"),
    "the end of data": listed('{"name":"words"}', data="text classification"),
    "a parameter of the request": listed('{"name":"words"}', more=',"parameters":{"classification":1}'),
    "a longer name": listed(output("words", '"classifications":1,"reclassification":1')),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("service", ["scored", "counter"])
def test_no_body_asks_for_classes_that_cannot_be(stage: Stage, service: str, case: str) -> None:
    sent = REFUSED[case]
    before = stage.count()
    length = {"Inference_Header_Content_Length": str(len(sent))}
    for content, headers in ((sent, {}), (sent, length), (sent + bytes(99), length)):
        answer = stage.gateway.call("POST", f"/v2/models/{service}/infer", content, X_API_Key=KEY, **headers)
        assert answer.status == 400 and answer.error, answer.body
    assert stage.count() == before


@pytest.mark.parametrize("case", PASSES)
def test_other_bodies_pass(stage: Stage, case: str) -> None:
    answer = stage.gateway.call("POST", "/v2/models/scored/infer", PASSES[case], X_API_Key=KEY)
    assert (answer.status, json.loads(answer.body)["bytes"]) == (200, len(PASSES[case]))


def test_the_sentence_names_the_output_and_says_what_to_do(stage: Stage) -> None:
    for name, shown in (("words", "words"), ('a"b\nc', "a?b?c"), ("", "without a name")):
        answer = stage.gateway.call("POST", "/v2/models/scored/infer", listed(output(name)), X_API_Key=KEY)
        assert (answer.status, answer.error.startswith(SENTENCE.format(shown))) == (400, True), answer.body
        with stage.channel() as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            code, message, _ = refused(stub.ModelInfer, message_of("scored", name), key=KEY)
        assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, answer.error)


def test_a_service_whose_outputs_are_not_known_gives_no_classes(stage: Stage) -> None:
    before = stage.count()
    answer = stage.gateway.call("POST", "/v2/models/mnist/infer", PASSES["an output that can be"], X_API_Key=KEY)
    assert (answer.status, answer.error.startswith(SENTENCE.format(SAFE))) == (400, True)
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert refused(stub.ModelInfer, message_of("mnist", SAFE), key=KEY)[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert stage.count() == before


def message_of(service: str, *names: str, classes: int = 1, size: int = 0) -> Any:
    request = pb.ModelInferRequest(model_name=service)
    request.inputs.add(name="classification")
    for name in names:
        request.outputs.add(name=name).parameters[CLASSES].int64_param = classes
    request.raw_input_contents.append(bytes(size))
    return request


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number * 8 + 2, len(content)]) + content


ENTRY = field(1, CLASSES.encode()) + field(2, b"\x10\x01")
NAMED = pb.ModelInferRequest(model_name="scored").SerializeToString()
WIRE = {
    "another output": field(6, field(1, b"words") + field(2, ENTRY)),
    "the last name counts": field(6, field(1, SAFE.encode()) + field(2, ENTRY) + field(1, b"words")),
    "the last key counts": field(6, field(1, b"words") + field(2, field(1, b"x") + ENTRY)),
    "another parameter first": field(6, field(1, b"words") + field(2, field(1, b"x")) + field(2, ENTRY)),
    "after one that can be": field(6, field(1, SAFE.encode())) + field(6, field(1, b"words") + field(2, ENTRY)),
    "without a name": field(6, field(2, ENTRY)),
    "behind a group": field(6, b"\x53\x54" + field(1, b"words") + field(2, ENTRY)),
    "behind a group in the entry": field(6, field(1, b"words") + field(2, b"\x53\x54" + ENTRY)),
    "behind a long tag": field(6, field(1, b"words") + b"\x92\x80\x80\x80\x10" + bytes([len(ENTRY)]) + ENTRY),
    "before the model": field(6, field(1, b"words") + field(2, ENTRY)) + NAMED,
}


@pytest.mark.parametrize("size", [0, 70_000, 3 << 20])
@pytest.mark.parametrize("case", WIRE)
def test_no_message_asks_for_classes_that_cannot_be(stage: Stage, case: str, size: int) -> None:
    before = stage.count()
    tensor = pb.ModelInferRequest(raw_input_contents=[bytes(size)]).SerializeToString()
    for wire in (NAMED + WIRE[case] + tensor, NAMED + tensor + WIRE[case]):
        with stage.channel() as channel, pytest.raises(grpc.RpcError) as caught:
            call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            call(wire, metadata=(("x-api-key", KEY),), timeout=20)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert stage.count() == before


def test_other_messages_pass(stage: Stage) -> None:
    plain = message_of("scored", SAFE, ODD, size=70_000)
    plain.outputs.add(name="words").parameters["classifications"].int64_param = 1
    plain.parameters[CLASSES].int64_param = 1
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert send(stub.ModelInfer, plain, key=KEY).id == "70000"
        assert len(send(stub.ModelStreamInfer, iter([plain] * 2), key=KEY)) == 8


@pytest.mark.parametrize("size", [0, 70_000, 3 << 20])
def test_in_a_stream_such_a_message_reaches_nobody_and_the_others_do(stage: Stage, size: int) -> None:
    instead = "a message that asks for the classes of an output that cannot be classified"
    good, bad = message_of("scored", SAFE, size=size), message_of("scored", SAFE, "words", size=size)
    for requests in ([good, bad, good], [bad, good, bad]):
        with stage.channel() as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            answers = send(stub.ModelStreamInfer, iter(requests), key=KEY)
        named = [answer.infer_response.model_name for answer in answers]
        assert named == [name for one in requests for name in ["scored" if one is good else instead] * 4]
