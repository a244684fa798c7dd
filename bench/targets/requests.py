"""The requests that are measured, and what a good answer to each is.

The digit: the example of the product, 64 pixels of a handwritten 8, in three protocols. The chat: a short question in
OpenAI's protocol.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tritonclient.grpc import service_pb2

from console.first_run import example

CHAT_SERVICE = "bench-chat"
CHAT_ANSWER = "The digit is an eight, and it was written by hand."


@dataclass(frozen=True)
class Call:
    """One kind of request. `wire` is REST (HTTP/1.1) or gRPC (HTTP/2)."""

    name: str
    wire: str
    path: str
    body: bytes
    content_type: str
    good: Callable[[bytes], bool]
    """Whether this is the whole of a good answer. Asked once a phase."""
    repeats: bool = True
    """Every answer is the same bytes. False: ids and times differ, and only the status of each is looked at."""
    headers: Mapping[str, str] = field(default_factory=dict)


def _infer() -> bytes:
    return json.dumps(example.body(), separators=(",", ":")).encode()


def _grpc_infer() -> bytes:
    request = service_pb2.ModelInferRequest(model_name=example.NAME)
    request.inputs.add(name="predict", datatype="FP32", shape=[1, len(example.PIXELS)])
    request.raw_input_contents.append(struct.pack(f"<{len(example.PIXELS)}f", *example.PIXELS))
    return bytes(request.SerializeToString())


def _rest_says_the_digit(answer: bytes) -> bool:
    return [output["data"] for output in json.loads(answer)["outputs"]] == [[example.EXPECTED]]


def _grpc_says_the_digit(answer: bytes) -> bool:
    response = service_pb2.ModelInferResponse.FromString(answer)
    return list(response.raw_output_contents) == [struct.pack("<f", example.EXPECTED)]


def _v1_says_the_digit(answer: bytes) -> bool:
    return bool(json.loads(answer)["predictions"] == [example.EXPECTED])


def _chat() -> bytes:
    messages = [{"role": "user", "content": "Which digit is this?"}]
    return json.dumps({"model": CHAT_SERVICE, "messages": messages, "max_tokens": 16}, separators=(",", ":")).encode()


def _chat_is_answered(answer: bytes) -> bool:
    return bool(json.loads(answer)["choices"][0]["message"]["content"] == CHAT_ANSWER)


REST = Call("REST", "REST", f"/v2/models/{example.NAME}/infer", _infer(), "application/json", _rest_says_the_digit)
GRPC = Call(
    "gRPC",
    "gRPC",
    "/inference.GRPCInferenceService/ModelInfer",
    _grpc_infer(),
    "application/grpc",
    _grpc_says_the_digit,
)
V1 = Call(
    "V1",
    "REST",
    f"/v1/models/{example.NAME}:predict",
    json.dumps({"instances": [example.PIXELS]}, separators=(",", ":")).encode(),
    "application/json",
    _v1_says_the_digit,
)
CHAT = Call("OpenAI", "REST", "/v1/chat/completions", _chat(), "application/json", _chat_is_answered, repeats=False)
DIGIT = {"REST": REST, "gRPC": GRPC}


def answer(call: Call) -> bytes:
    """A good answer as bytes on the wire, for a server that only repeats it."""
    if call is GRPC:
        response = service_pb2.ModelInferResponse(model_name=example.NAME, model_version="1")
        response.outputs.add(name="predict", datatype="FP32", shape=[1])
        response.raw_output_contents.append(struct.pack("<f", example.EXPECTED))
        message: bytes = response.SerializeToString()
        return b"\0" + struct.pack(">I", len(message)) + message
    if call is CHAT:
        payload: dict[str, object] = {
            "id": "chatcmpl-0",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": CHAT_SERVICE,
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": CHAT_ANSWER}}
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 11, "total_tokens": 23},
        }
    else:
        output = {"name": "predict", "datatype": "FP32", "shape": [1], "data": [example.EXPECTED]}
        payload = {"model_name": example.NAME, "model_version": "1", "outputs": [output]}
    return json.dumps(payload, separators=(",", ":")).encode()


def headers(call: Call, key: str | None, content_type: str | None = None) -> dict[str, str]:
    """`content_type` is instead of the call's own."""
    fields = {"content-type": content_type or call.content_type, **call.headers}
    if key and call is CHAT:
        fields["authorization"] = f"Bearer {key}"
    elif key:
        # HTTP/2 knows only lower case.
        fields["x-api-key"] = key
    return fields
