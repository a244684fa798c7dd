"""One V2 gRPC inference, unary or streaming, timed step by step, with tritonclient's own messages and stub."""

from __future__ import annotations

import json
import time
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc

from console.errors import Unavailable
from services.clients.inference import wire
from services.clients.inference.call import Answer, Call, Input, Message, Response, SequenceStep, Timing
from services.clients.inference.caller import CONNECT_SECONDS, without_key
from services.clients.inference.http_exchange import HELD_BYTES

MOST_RESPONSES = 1000
"""A stream is ended after so many: a test has seen enough, and a model may go on for ever."""
SHOWN_MESSAGES = 16
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", HELD_BYTES),
    ("grpc.enable_http_proxy", 0),  # the gateway is on this machine, whatever the environment says of proxies
    ("grpc.enable_retries", 0),  # what the panel shows is one request
    ("grpc.use_local_subchannel_pool", 1),  # connecting is timed, so connections are not shared
]


def infer(call: Call) -> Answer:
    """Raises Unavailable when nothing listens there. Any gRPC status gives an Answer."""
    begun = time.perf_counter()
    request = build(call.model, call.inputs, call.step)
    built = time.perf_counter()
    with grpc.insecure_channel(call.caller.address, options=OPTIONS) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            raise Unavailable(f"The gateway does not answer at {call.caller.address}.") from None
        connected = time.perf_counter()
        exchange = _Exchange(call, connected)
        exchange.run(service_pb2_grpc.GRPCInferenceServiceStub(channel), request)
        # Taken before the channel is closed, which waits up to 0.2 s for gRPC's own connectivity poll.
        answered = time.perf_counter()
    # A stream says what is wrong with a request inside an OK stream.
    error = exchange.error or next((response.error for response in exchange.responses if response.error), "")
    decode_ms = 1000 * exchange.decoding
    timing = Timing(
        1000 * (built - begun), 1000 * (connected - built), 1000 * (answered - connected) - decode_ms, decode_ms
    )
    responses = tuple(exchange.responses)
    return Answer(not error, exchange.status, error, responses, timing, _sent(call, request), exchange.shown())


def build(model: str, inputs: tuple[Input, ...], step: SequenceStep | None = None) -> Any:
    """A ModelInferRequest with raw contents."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, value in step.parameters().items() if step else ():
        setattr(request.parameters[name], wire.parameter_field(value), value)
    for item in inputs:
        request.inputs.add(name=item.name, datatype=item.datatype, shape=item.shape)
        request.raw_input_contents.append(wire.raw_bytes(item.values))
    return request


class _Exchange:
    """What came back, with the time of each message in ms after sending. Each is read as it comes and not kept: a
    stream of large tensors would fill the memory."""

    def __init__(self, call: Call, started: float) -> None:
        self.call = call
        self.started = started
        self.responses: list[Response] = []
        self.status = "OK"
        self.error = ""
        self.headers: dict[str, str] = {}
        self.decoding = 0.0
        """Seconds."""
        self._size = 0
        self._texts: list[str] = []
        self._room = wire.Room()

    def run(self, stub: Any, request: Any) -> None:
        metadata = tuple(self.call.caller.headers().items())
        timeout = self.call.caller.timeout
        try:
            if self.call.stream:
                self._stream(stub.ModelStreamInfer(iter([request]), timeout=timeout, metadata=metadata))
            else:
                message, rpc = stub.ModelInfer.with_call(request, timeout=timeout, metadata=metadata)
                self._note(rpc)
                self._add(message, "")
        except grpc.RpcError as error:
            self._note(error)
            self.status = error.code().name
            self.error = error.details() or f"The server answered {self.status} without a reason."

    def _stream(self, rpc: Any) -> None:
        for message in rpc:
            self._add(message.infer_response, message.error_message)
            if len(self.responses) == MOST_RESPONSES:
                rpc.cancel()
                self.status = f"OK, ended after {MOST_RESPONSES} responses"
                return
        self._note(rpc)

    def _add(self, message: Any, error: str) -> None:
        came = time.perf_counter()
        self.responses.append(_response(message, 1000 * (came - self.started), error, self._room))
        self._size += message.ByteSize()
        if len(self._texts) < SHOWN_MESSAGES and not error:
            self._texts.append(json.dumps(_as_json(message)))
        self.decoding += time.perf_counter() - came

    def _note(self, rpc: Any) -> None:
        for pairs in (rpc.initial_metadata(), rpc.trailing_metadata()):
            self.headers |= {key: value if isinstance(value, str) else "(binary)" for key, value in pairs or ()}

    def shown(self) -> Message:
        return Message(self.status, self.headers, wire.cut("\n".join(self._texts)), self._size)


def _response(message: Any, at_ms: float, error: str, room: wire.Room) -> Response:
    if error:
        return Response((), at_ms, error)
    result = InferResult(message)
    try:
        outputs = tuple(
            wire.output_of(row.name, row.datatype, _values(result, message, i), room)
            for i, row in enumerate(message.outputs)
        )
    except (ValueError, LookupError, TypeError):
        return Response((), at_ms, "The answer does not fit the shape that it names.")
    return Response(outputs, at_ms)


def _values(result: Any, message: Any, index: int) -> Any:
    """tritonclient reads raw contents; a server may use the typed ones instead."""
    row = message.outputs[index]
    typed = getattr(row.contents, wire.CONTENTS.get(row.datatype, "bytes_contents"))
    if message.raw_output_contents or not typed:
        return result.as_numpy(row.name)
    return np.array(list(typed), dtype=object if row.datatype == "BYTES" else None).reshape(tuple(row.shape))


def _sent(call: Call, request: Any) -> Message:
    method = "ModelStreamInfer" if call.stream else "ModelInfer"
    headers = without_key(call.caller.headers(), call.caller.key)
    body = wire.cut(json.dumps(_as_json(request)))
    return Message(f"inference.GRPCInferenceService/{method}", headers, body, request.ByteSize())


def _as_json(message: Any) -> dict[str, Any]:
    """A request or response with raw contents told by their size."""
    document: dict[str, Any] = {"model_name": message.model_name}
    for field in ("inputs", "outputs"):
        if rows := getattr(message, field, None):
            document[field] = [{"name": row.name, "datatype": row.datatype, "shape": list(row.shape)} for row in rows]
    for field in ("raw_input_contents", "raw_output_contents"):
        if raw := getattr(message, field, None):
            document[field] = [f"({len(part)} bytes)" for part in raw]
    return document
