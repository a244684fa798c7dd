"""Text generation over V2 gRPC: the prompt as a BYTES tensor, the answer as one; ModelInfer, or ModelInferStream, which
streams the answer to one request. grpc.aio, so that whoever closes the generator cancels the call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from console.errors import Unavailable
from services.clients.generation.call import EMBEDDING, Ask, Exchange, Generation, Piece, TextCall, Usage, prompt_of
from services.clients.inference import wire
from services.clients.inference.call import Message
from services.clients.inference.caller import CONNECT_SECONDS, without_key
from services.clients.inference.grpc import OPTIONS
from services.schema import internal_headers

SERVICE: Final = "inference.GRPCInferenceService"
INPUT: Final = "prompt"
SHOWN_MESSAGES: Final = 64


def request_of(ask: Ask) -> Any:
    """A ModelInferRequest. Of a chat it carries the last message only: the protocol has one prompt."""
    text = prompt_of(ask.messages) if ask.messages else ask.prompt
    request = service_pb2.ModelInferRequest(model_name=ask.model)
    item = request.inputs.add(name=INPUT, datatype="BYTES", shape=[1])
    item.contents.bytes_contents.append(text.encode())
    if ask.max_tokens is not None:
        request.parameters["max_tokens"].int64_param = ask.max_tokens
    if ask.temperature is not None:
        request.parameters["temperature"].string_param = repr(ask.temperature)
    return request


async def generate(call: TextCall) -> AsyncGenerator[Piece | Generation, None]:
    """Pieces, then one Generation. Raises Unavailable when nothing listens there. Close it to end the generation."""
    begun = time.perf_counter()
    exchange = _Exchange(call, begun)
    async with grpc.aio.insecure_channel(call.caller.address, options=OPTIONS) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), CONNECT_SECONDS)
        except TimeoutError:
            raise Unavailable(f"The gateway does not answer at {call.caller.address}.") from None
        exchange.connected = time.perf_counter()
        async for piece in exchange.run(channel):
            yield piece
    yield exchange.result()


class _Exchange(Exchange):
    def __init__(self, call: TextCall, begun: float) -> None:
        self.request = request_of(call.ask)
        super().__init__(call, "OK")
        self.method = "ModelInferStream" if call.ask.stream else "ModelInfer"
        self.built_ms = 1000 * (self.started - begun)
        self.ended = 0.0
        self.headers: dict[str, str] = {}
        self.texts: list[str] = []

    async def run(self, channel: Any) -> AsyncIterator[Piece]:
        make = channel.unary_stream if self.call.ask.stream else channel.unary_unary
        stub = make(
            f"/{SERVICE}/{self.method}",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        # A stream may take as long as it generates; that nothing comes for so long is what ends it.
        patience = self.call.caller.timeout
        rpc = stub(self.request, metadata=tuple(self.call.caller.headers().items()))
        try:
            if self.call.ask.stream:
                while (message := await asyncio.wait_for(rpc.read(), patience)) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                    for text in self._texts(message):
                        yield self.collected.add(text, self.now())
            else:
                for text in self._texts(await asyncio.wait_for(rpc, patience)):
                    yield self.collected.add(text, self.now())
            self.ended = time.perf_counter()
            await self._note(rpc)
        except TimeoutError:
            self.status, self.error = "DEADLINE_EXCEEDED", f"Nothing came for {patience:g} s."
        except grpc.aio.AioRpcError as error:
            self.status = error.code().name
            self.error = error.details() or f"The server answered {self.status} without a reason."
            await self._note(rpc)
        finally:
            rpc.cancel()

    async def _note(self, rpc: Any) -> None:
        if self.call.ask.stream and self.status == "OK" and (code := await rpc.code()) != grpc.StatusCode.OK:
            self.status, self.error = code.name, await rpc.details() or f"The server answered {code.name}."
        for pairs in (await rpc.initial_metadata(), await rpc.trailing_metadata()):
            self.headers |= {key: value if isinstance(value, str) else "(binary)" for key, value in pairs or ()}

    def _texts(self, message: Any) -> list[str]:
        self.size += message.ByteSize()
        if len(self.texts) < SHOWN_MESSAGES:
            self.texts.append(json_format.MessageToJson(message, indent=None, preserving_proto_field_name=True))
        if not message.outputs:
            return []
        first = message.outputs[0]
        if self.call.ask.task == EMBEDDING:
            raw = message.raw_output_contents
            values = np.frombuffer(raw[0], "<f4") if raw else np.array(first.contents.fp32_contents, "<f4")
            self.outputs = (wire.output_of(first.name, "FP32", values),)
            return []
        return [value.decode("utf-8", "replace") for value in first.contents.bytes_contents if value]

    def result(self) -> Generation:
        caller = self.call.caller
        wait = 1000 * (self.ended - self.connected) if self.ended else self.now()
        shown = json_format.MessageToJson(self.request, preserving_proto_field_name=True)
        sent = Message(
            f"{SERVICE}/{self.method}",
            without_key(caller.headers(), caller.key),
            wire.cut(shown),
            self.request.ByteSize(),
        )
        got = Message(self.status, self.headers, wire.cut("\n".join(self.texts)), self.size)
        if not self.call.ask.stream:
            self.collected.first_ms = self.collected.last_ms = None  # that it came at once says nothing of tokens
        return self.generation(sent, got, self._usage(), wait)

    def _usage(self) -> Usage:
        names = (internal_headers.PROMPT_TOKENS, internal_headers.COMPLETION_TOKENS)
        counts = [self.headers.get(name, "") for name in names]
        return Usage(*(int(count) if count.isdecimal() else None for count in counts))
