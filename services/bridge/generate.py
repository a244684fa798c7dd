"""Text on a vLLM service for callers of V2 gRPC: translate, send, translate back, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from tritonclient.grpc import service_pb2

from services.bridge import sse
from services.bridge.errors import BridgeError, Kind
from services.bridge.predict import parsed
from services.bridge.table import Service
from services.bridge.translators import v2grpc_openai
from services.bridge.translators.v2grpc_openai import Json, Question
from services.bridge.upstream import CUT, Call, Upstream

Piece = tuple[bytes | None, Json]
"""A serialised ModelInferResponse, if there is text, and the usage, if it is said here."""


class Generator:
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def whole(self, service: Service, call: Call, message: bytes) -> tuple[bytes, Json]:
        """ModelInferRequest -> ModelInferResponse, serialised, and the usage. Raises BridgeError, as all here do."""
        question = _question(service, message)
        body = v2grpc_openai.body(question, stream=False)
        answer = await self._upstream.post(call, question.path, body, {"content-type": "application/json"})
        response, usage = v2grpc_openai.answer(question, answer.content)
        return response.SerializeToString(), usage

    async def stream(self, service: Service, call: Call, message: bytes) -> AsyncGenerator[Piece, None]:
        """ModelInferRequest -> one serialised ModelInferResponse for each event with text; the usage comes at the end.

        Closing this generator closes the connection, and generation stops.
        """
        question = _question(service, message)
        if service.task == v2grpc_openai.EMBEDDING:
            yield await self.whole(service, call, message)
            return
        body = v2grpc_openai.body(question, stream=True)
        upstream = self._upstream.stream(call, question.path, body)
        async with upstream as chunks, aclosing(_pieces(question, chunks)) as pieces:
            async for piece in pieces:
                yield piece

    def metadata(self, service: Service, message: bytes) -> Any:
        request = parsed(service_pb2.ModelMetadataRequest, message)
        return v2grpc_openai.metadata(_vllm(service), request.name)

    def ready(self, service: Service, message: bytes) -> Any:
        request = parsed(service_pb2.ModelReadyRequest, message)
        v2grpc_openai.model_of(request.name, _vllm(service))
        return service_pb2.ModelReadyResponse(ready=service.ready)


async def _pieces(question: Question, chunks: AsyncIterator[bytes]) -> AsyncGenerator[Piece, None]:
    events = sse.Events()
    async for chunk in chunks:
        for event in events.feed(chunk):
            if event == sse.DONE:
                return
            response, usage = v2grpc_openai.piece(question, event)
            if response is not None or usage:
                yield (None if response is None else response.SerializeToString()), usage
    raise BridgeError(Kind.UNAVAILABLE, CUT)


def _question(service: Service, message: bytes) -> Question:
    return v2grpc_openai.read(parsed(service_pb2.ModelInferRequest, message), _vllm(service))


def _vllm(service: Service) -> Service:
    if service.framework != "vllm":
        raise BridgeError(Kind.UNSUPPORTED, f"{service.name} does not generate text.")
    return service
