"""The message of ModelInfer is read by a script of the gateway: it finds the same model as a backend, or none."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.integration.gateway.raw import http2
from tests.integration.gateway.stage import Stage
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/inference.GRPCInferenceService/ModelInfer"
MNIST, ASR = (bytes(pb.ModelInferRequest(model_name=name).SerializeToString()) for name in ("mnist", "asr"))
PIECE = 262144


def varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded, number = encoded + bytes([number % 128 + 128]), number >> 7
    return encoded + bytes([number])


def field(number: int, content: bytes, more: int = 0) -> bytes:
    """`more` is added to the tag: beyond 32 bits, where backends cut it off."""
    return varint(number * 8 + 2 + more) + varint(len(content)) + content


def raw(size: int) -> bytes:
    return field(7, bytes(size))


def infer(stage: Stage, message: bytes, key: str = snapshots.ADMIN, **metadata: str) -> Any:
    with stage.channel() as channel:
        sent = (("x-api-key", key), *((name.replace("_", "-"), value) for name, value in metadata.items()))
        call: Any = channel.unary_unary(INFER, response_deserializer=pb.ModelInferResponse.FromString)
        return call(message, metadata=sent, timeout=20)


NAMED = {
    "first": MNIST + raw(100),
    "after a small tensor": raw(100) + MNIST,
    "after a tensor that ends where the first piece does": raw(PIECE - 5 - 4) + MNIST,
    "across the border of the first piece": raw(PIECE - 5 - 4 - 3) + MNIST,
    "after a large tensor": raw(3 << 20) + MNIST,
    "between large tensors": raw(1 << 20) + MNIST + raw(1 << 20),
    "after many large tensors": raw(70_000) * 20 + MNIST,
    "after another, which does not count": ASR + MNIST,
    "far after another, which does not count": ASR + raw(1 << 20) + MNIST,
    "after fields that this protocol has not": field(90, b"x") + b"\xd0\x05\x01" + b"\xd5\x05abcd" + MNIST,
    "with a tag that takes more bytes than it needs": b"\x8a\x80\x00" + MNIST[1:],
}


@pytest.mark.parametrize("where", NAMED)
def test_the_model_is_found_wherever_its_name_is(stage: Stage, where: str) -> None:
    answer = infer(stage, NAMED[where])
    request = pb.ModelInferRequest.FromString(NAMED[where])
    assert (answer.model_name, answer.id) == ("mnist", str(sum(map(len, request.raw_input_contents))))


@pytest.mark.parametrize("where", NAMED)
def test_the_key_must_be_for_that_model_and_no_other(stage: Stage, where: str) -> None:
    before = stage.count()
    with pytest.raises(grpc.RpcError) as caught:
        infer(stage, NAMED[where], snapshots.STRANGER)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.RpcError) as caught:
        infer(stage, NAMED[where], mm_vmodel_id="asr")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert stage.count() == before


UNREADABLE = {
    "nothing that ends": MNIST + field(7, bytes(9))[:-1],
    "a name that does not end": MNIST[:-1],
    "a group": MNIST + b"\x0b\x0c",
    "a kind that there is not": MNIST + b"\x0f",
    "a name that is a number": b"\x08\x05",
    "half a tag": MNIST + b"\x80",
    "half a tag after a large tensor": MNIST + raw(1 << 20) + b"\x80",
    # A backend takes these for a name and for an input: what is beyond 32 bits it does not see.
    "a tag of 33 bits": MNIST + field(1, b"asr", 1 << 32),
    "a tag of 35 bits": MNIST + field(5, b"", 1 << 34),
    "more fields than anybody has": MNIST + b"\x3a\x00" * 100_000,
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_no_message_reaches_nobody(stage: Stage, what: str) -> None:
    before = stage.count()
    for metadata in ({}, {"mm_vmodel_id": "mnist"}):
        with pytest.raises(grpc.RpcError) as caught:
            infer(stage, UNREADABLE[what], **metadata)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "message of the V2 protocol" in str(caught.value.details())
    assert stage.count() == before


@pytest.mark.parametrize(
    "frames",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\0\0\0\0\x08" + MNIST,
        b"\0\0\0\0\x06" + MNIST,
        b"\1\0\0\0\x07" + MNIST,
        (b"\0\0\0\0\x07" + MNIST) * 2,
        b"\0\0\0\0\x07" + MNIST + b"\0",
        b"\0\xff\xff\xff\xff" + MNIST,
    ],
)
def test_a_call_is_one_frame_with_its_own_length(stage: Stage, frames: bytes) -> None:
    before = stage.count()
    headers = [("content-type", "application/grpc"), ("te", "trailers"), ("x-api-key", snapshots.ADMIN)]
    http2(stage.gateway.port, "POST", INFER, headers, frames)
    http2(stage.gateway.port, "POST", INFER, [*headers, ("mm-vmodel-id", "mnist")], frames)
    assert stage.count() == before
    assert infer(stage, MNIST).model_name == "mnist"


@pytest.mark.parametrize("hidden", [1 << 32, 1 << 33, 7 << 32])
@pytest.mark.parametrize("depth", ["request", "input", "parameter"])
def test_no_tag_of_more_than_32_bits_hides_a_parameter(stage: Stage, depth: str, hidden: int) -> None:
    entry = field(1, b"shared_memory_region", hidden if depth == "parameter" else 0) + field(2, b"\x1a\x01r")
    message = field(4, entry, hidden if depth == "request" else 0)
    if depth == "input":
        message = field(5, message, hidden)
    before = stage.count()
    with pytest.raises(grpc.RpcError) as caught:
        infer(stage, MNIST + message)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    # In a stream the same is replaced.
    with stage.channel() as channel:
        call: Any = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        sent = (("x-api-key", snapshots.ADMIN),)
        answers = list(call(iter([MNIST, MNIST + message]), metadata=sent, timeout=20))
    instead = "a message with shared memory, which this gateway does not take"
    assert [answer.infer_response.model_name for answer in answers] == ["mnist"] * 4 + [instead] * 4
    assert stage.count() == before + 1
