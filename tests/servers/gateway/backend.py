"""A small real V2 server: the null backend behind the gateway under test. Run as a process of its own.

    python -m tests.servers.gateway.backend NAME HTTP_PORT GRPC_PORT

It answers with its own name and what it was sent, and tells at GET /__seen every call that reached it (`?N`: but for
the first N), and at /__count how many. After GET /__ill its health probe fails until GET /__well; /__forget ends all
that was. ModelInfer with the parameter `answer` is answered with the message in its first tensor. It also speaks
OpenAI's protocol (text.py), so that it can stand for vLLM.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvicorn
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.servers.gateway import text

NAME = sys.argv[1] if len(sys.argv) > 1 else "backend"
SEEN: list[dict[str, Any]] = []
PROBES = ("/v2/health/ready", "/health")
ILL = asyncio.Event()
BIG = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]


class Model(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    async def ModelInfer(self, request: Any, context: Any) -> Any:
        note("ModelInfer", context)
        size = sum(len(raw) for raw in request.raw_input_contents)
        await think(request)
        if "answer" in request.parameters:
            return service_pb2.ModelInferResponse.FromString(body_of(request))
        return service_pb2.ModelInferResponse(model_name=request.model_name, model_version=NAME, id=str(size))

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        note("ModelStreamInfer", context)
        async for request in requests:
            await think(request)
            for index in range(4):
                answer = service_pb2.ModelInferResponse(model_name=request.model_name, id=str(index))
                yield service_pb2.ModelStreamInferResponse(infer_response=answer)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        note("ModelMetadata", context)
        return service_pb2.ModelMetadataResponse(name=request.name, platform=NAME)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        note("ModelReady", context)
        return service_pb2.ModelReadyResponse(ready=True)

    def __getattribute__(self, method: str) -> Any:
        # Every other method of the protocol exists too, so that one which slips through is seen.
        if method[:1].isupper() and method not in ("ModelInfer", "ModelStreamInfer", "ModelMetadata", "ModelReady"):

            async def slipped(request: Any, context: Any) -> Any:
                note(method, context)
                await context.abort(grpc.StatusCode.INTERNAL, "must not be reachable")

            return slipped
        return super().__getattribute__(method)


def body_of(request: Any) -> bytes:
    raw = request.raw_input_contents
    return bytes(raw[0] if raw else request.inputs[0].contents.bytes_contents[0])


async def think(request: Any) -> None:
    """As long as the parameter `sleep_ms` says."""
    if "sleep_ms" in request.parameters:
        await asyncio.sleep(request.parameters["sleep_ms"].int64_param / 1000)


def note(method: str, context: Any) -> None:
    SEEN.append({"call": method, "headers": {k: str(v) for k, v in context.invocation_metadata()}})


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    sent = b"".join(parts)
    path = scope["path"]
    headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
    if path == "/__seen":
        answer: Any = SEEN[int(scope["query_string"] or 0) :]
    elif path == "/__count":
        answer = len(SEEN)
    elif path == "/__ill":
        answer = ILL.set()
    elif path in ("/__well", "/__forget"):
        answer = ILL.clear()
        if path == "/__forget":
            SEEN.clear()
    else:
        if path not in PROBES:
            call = {"call": f"{scope['method']} {path}", "headers": headers}
            SEEN.append({**call, "body": sent.decode("latin-1")} if path.startswith("/v1/") else call)
        await asyncio.sleep(int(headers.get("x-sleep-ms", "0")) / 1000)
        if path.startswith("/v1/"):
            return await text.answer(path, sent, send)
        answer = {"model_name": path, "model_version": NAME, "bytes": len(sent), "ready": True, "outputs": []}
    body = json.dumps(answer).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    status = 503 if path in PROBES and ILL.is_set() else 200
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    server = grpc.aio.server(options=BIG)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Model(), server)
    if server.add_insecure_port(f"127.0.0.1:{sys.argv[3]}") == 0:
        raise SystemExit("gRPC port taken")
    await server.start()
    port = int(sys.argv[2])
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        lifespan="off",
        access_log=False,
        timeout_keep_alive=7200,  # as real backends: none closes a connection in the moment in which a request comes
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
