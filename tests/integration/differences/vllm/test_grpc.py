"""Text over V2 gRPC through the real gateway and bridge: the real vLLM reads what the message says to a parser of
protobuf, or the message is refused.

What it says is worked out here anew (`meaning`); what vLLM read is in its log.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from tests.integration.differences import text_messages as texts
from tests.integration.differences.text_plane import TextPlane
from tests.integration.fuzz.arena import KEY
from tests.servers.vllm import Reading

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.xdist_group("vllm")]
INFER, STREAM = (f"/inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ModelInferStream"))
REFUSALS = ("INVALID_ARGUMENT", "NOT_FOUND")
NO_PARSER = "INTERNAL"
"""The answer of any gRPC server to a message that its parser refuses."""
WIDTHS = {"INT32": "i", "UINT32": "I", "INT64": "q", "UINT64": "Q"}
LONGEST = 256
WHOLE = ("max_tokens", "min_tokens", "top_k", "seed")


@dataclass(frozen=True)
class Reply:
    code: str
    details: str
    responses: list[Any]
    metadata: Mapping[str, Any]


@pytest.fixture(scope="module")
def channel(plane: TextPlane) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(plane.gateway.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


@pytest.fixture(autouse=True)
def nothing_ends(plane: TextPlane) -> Iterator[None]:
    """Instead of that of the folder, which starts Triton."""
    yield
    assert plane.is_well()


@pytest.fixture(scope="module", autouse=True)
def still_answers(plane: TextPlane, channel: grpc.Channel) -> Iterator[None]:
    """After all of it vLLM answers as before."""
    yield
    assert agree(plane, channel, texts.GOOD)


def ask(channel: grpc.Channel, method: str, message: bytes) -> Reply:
    read = pb.ModelInferResponse.FromString
    call = channel.unary_stream(method, response_deserializer=read)(message, metadata=(("x-api-key", KEY),), timeout=60)
    try:
        code, details, responses = "OK", "", list(call)
    except grpc.RpcError as error:
        code, details, responses = error.code().name, error.details(), []
    return Reply(code, details, responses, dict([*call.initial_metadata(), *call.trailing_metadata()]))


def agree(plane: TextPlane, channel: grpc.Channel, message: bytes) -> bool:
    """Whether the methods took the message. Fails unless vLLM then read what it says, and the gateway counted so.

    A name that is there twice is refused in a stream, and counts as protobuf reads it in the other method.
    """
    taken = {method: takes(plane, channel, method, message) for method in (INFER, STREAM)}
    assert taken[INFER] or not taken[STREAM], message[:200]
    return all(taken.values())


def takes(plane: TextPlane, channel: grpc.Channel, method: str, message: bytes) -> bool:
    reply, readings = plane.watched(lambda: ask(channel, method, message))
    for reading in readings:  # also of what vLLM then refused
        check(reading, pb.ModelInferRequest.FromString(message), streams=method == STREAM)
    if reply.code != "OK":
        assert reply.code in (*REFUSALS, NO_PARSER) and reply.details, (message[:200], reply)
        assert reply.code != NO_PARSER or not is_message(message), (message[:200], reply)
        return False
    [reading] = readings
    request = pb.ModelInferRequest.FromString(message)
    assert {(each.model_name, each.id) for each in reply.responses} == {(request.model_name, request.id)}
    line = plane.line(reply.metadata["x-request-id"])
    assert request.model_name.partition(":")[0] == line["service"]
    counted = {name: int(reply.metadata[f"x-{name}-tokens"]) for name in ("prompt", "completion")}
    assert {name: int(line[f"bridge_{name}_tokens"]) for name in counted} == counted
    assert counted["prompt"] == reading.prompt_tokens
    return True


def is_message(message: bytes) -> bool:
    try:
        pb.ModelInferRequest.FromString(message)
    except DecodeError:
        return False
    return True


def check(reading: Reading, request: Any, *, streams: bool) -> None:
    body = dict(reading.body)
    if streams:
        assert (body.pop("stream"), body.pop("stream_options")) == (True, {"include_usage": True})
    assert body.pop("model") == request.model_name
    assert body.pop("messages") == [{"role": "user", "content": prompt_of(request)}]
    assert body == {name: value_of(name, parameter) for name, parameter in request.parameters.items()}


def prompt_of(request: Any) -> str:
    [tensor] = request.inputs
    if not request.raw_input_contents:
        [(field, values)] = tensor.contents.ListFields()
        if field.name == "bytes_contents":
            [text] = values
            return str(text.decode())
        as_bytes = tensor.datatype in ("UINT8", "INT8")
        return bytes(value % 256 for value in values).decode() if as_bytes else "".join(map(chr, values))
    [raw] = request.raw_input_contents
    assert not tensor.HasField("contents")
    if tensor.datatype in WIDTHS:
        return "".join(map(chr, (each for (each,) in struct.iter_unpack(f"<{WIDTHS[tensor.datatype]}", raw))))
    has_length = tensor.datatype in ("", "BYTES") and raw[:4] == struct.pack("<I", max(0, len(raw) - 4))
    assert has_length or tensor.datatype != "BYTES"
    return str(raw[4 if has_length else 0 :].decode())


def value_of(name: str, parameter: Any) -> Any:
    """The value for OpenAI's API that a parameter of any type stands for."""
    value = getattr(parameter, parameter.WhichOneof("parameter_choice"))
    if name == "stop":
        return json.loads(value) if value.startswith("[") else value
    if name == "ignore_eos":
        return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
    assert not isinstance(value, bool)
    number = json.loads(value) if isinstance(value, str) else value
    if name not in WHOLE:
        return float(number)
    return min(number, LONGEST) if name == "max_tokens" else number


@pytest.mark.parametrize("case", texts.NAMES)
def test_a_name(plane: TextPlane, channel: grpc.Channel, case: str) -> None:
    agree(plane, channel, texts.NAMES[case])


@pytest.mark.parametrize("case", texts.PROMPTS)
def test_a_prompt(plane: TextPlane, channel: grpc.Channel, case: str) -> None:
    agree(plane, channel, texts.REST + texts.PROMPTS[case])


@pytest.mark.parametrize("case", texts.WIRES)
def test_a_wire(plane: TextPlane, channel: grpc.Channel, case: str) -> None:
    agree(plane, channel, texts.WIRES[case])


@pytest.mark.parametrize("value", texts.VALUES)
def test_a_parameter(plane: TextPlane, channel: grpc.Channel, value: str) -> None:
    """With a parameter of each type; of the others a few."""
    for name in texts.PARAMETERS_OF_TEXT if value in texts.ORDINARY_VALUES else texts.PARAMETERS_OF_EACH_TYPE:
        message = texts.GOOD if name != "max_tokens" else texts.NAMED + texts.prompt(texts.HI)
        agree(plane, channel, message + texts.parameter(name.encode(), texts.VALUES[value]))


@pytest.mark.parametrize("name", texts.UNLISTED)
def test_a_parameter_that_is_not_listed(plane: TextPlane, channel: grpc.Channel, name: str) -> None:
    for value in ("one", "true", "the text b'1'"):
        message = texts.GOOD + texts.parameter(name.encode(), texts.VALUES[value])
        assert not agree(plane, channel, message)


@pytest.mark.parametrize("case", ["as BYTES", "without a datatype", "raw with its length", "raw INT32", "a nul"])
def test_what_is_documented_passes(plane: TextPlane, channel: grpc.Channel, case: str) -> None:
    """Else nothing above would mean much."""
    assert agree(plane, channel, texts.REST + texts.PROMPTS[case])
    assert agree(plane, channel, texts.PROMPTS[case] + texts.REST)
