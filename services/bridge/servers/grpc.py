"""The bridge's gRPC side: TensorFlow Serving's PredictionService, and V2's GRPCInferenceService for vLLM services.

Messages are taken and given as bytes, so that large ones are parsed where they are translated.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc

from services.bridge.errors import BridgeError, Kind
from services.bridge.generate import Generator
from services.bridge.predict import Predictor
from services.bridge.protos import tfserving
from services.bridge.servers.http import find
from services.bridge.table import Service, TableFile
from services.bridge.translators.v2grpc_openai import usage_metadata
from services.bridge.upstream import Call
from services.schema import internal_headers

log = logging.getLogger(__name__)

V2 = "inference.GRPCInferenceService"
LONGEST_MESSAGE = 2000
"""Characters of a status message; it travels in a header."""
Context = Any
Unary = Callable[[Service, Call, bytes, Context], Awaitable[bytes]]


class GrpcServer:
    def __init__(self, watch: TableFile, predictor: Predictor, generator: Generator) -> None:
        self._watch, self._predictor, self._generator = watch, predictor, generator

    def handlers(self) -> list[Any]:
        tensorflow = {"Predict": self.predict, "GetModelMetadata": self.get_model_metadata}
        v2 = {"ModelInfer": self.infer, "ModelMetadata": self.metadata, "ModelReady": self.ready}
        stream = grpc.unary_stream_rpc_method_handler(self.infer_stream)
        return [
            grpc.method_handlers_generic_handler(tfserving.SERVICE, self._unary(tensorflow)),
            grpc.method_handlers_generic_handler(V2, {**self._unary(v2), "ModelInferStream": stream}),
        ]

    def _unary(self, methods: Mapping[str, Unary]) -> dict[str, Any]:
        def handler(method: Unary) -> Any:
            async def answering(message: bytes, context: Context) -> bytes | None:
                try:
                    service, call = self._addressed(context)
                    return await method(service, call, message, context)
                except Exception as error:
                    await _refuse(context, error)
                    return None

            return grpc.unary_unary_rpc_method_handler(answering)

        return {name: handler(method) for name, method in methods.items()}

    async def infer_stream(self, message: bytes, context: Context) -> None:
        """When the caller goes away or its time is over this is cancelled, and generation with it."""
        try:
            service, call = self._addressed(context)
            async with aclosing(self._generator.stream(service, call, message)) as responses:
                async for response, usage in responses:
                    if usage:
                        context.set_trailing_metadata(usage_metadata(usage))
                    if response is not None:
                        await context.write(response)
        except Exception as error:
            await _refuse(context, error)

    async def predict(self, service: Service, call: Call, message: bytes, _context: Context) -> bytes:
        return await self._predictor.tfserving(service, call, message)

    async def get_model_metadata(self, service: Service, call: Call, message: bytes, _context: Context) -> bytes:
        return await self._predictor.tfserving_metadata(service, call, message)

    async def infer(self, service: Service, call: Call, message: bytes, context: Context) -> bytes:
        response, usage = await self._generator.whole(service, call, message)
        context.set_trailing_metadata(usage_metadata(usage))
        return response

    async def metadata(self, service: Service, _call: Call, message: bytes, _context: Context) -> bytes:
        response: bytes = self._generator.metadata(service, message).SerializeToString()
        return response

    async def ready(self, service: Service, _call: Call, message: bytes, _context: Context) -> bytes:
        response: bytes = self._generator.ready(service, message).SerializeToString()
        return response

    def _addressed(self, context: Context) -> tuple[Service, Call]:
        given = dict(context.invocation_metadata() or ())
        service = find(self._watch, str(given.get(internal_headers.CONSOLE_SERVICE, "")))
        return service, Call(service.name, str(given.get(internal_headers.REQUEST_ID, "")), context.time_remaining())


async def _refuse(context: Context, error: Exception) -> None:
    """Ends the call with the error's code; it does not return."""
    if not isinstance(error, BridgeError):
        log.error("a call failed", exc_info=error)
        error = BridgeError(Kind.INTERNAL, "Internal error: see the bridge's log.")
    trailing = (("retry-after", error.retry_after),) if error.retry_after else ()
    await context.abort(error.kind.grpc, error.message[:LONGEST_MESSAGE], trailing)
