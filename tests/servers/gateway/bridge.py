"""What stands where the bridge would, and notes what the gateway sends it: two unix sockets that answer anything.

    python -m tests.servers.gateway.bridge DIRECTORY

GET /__seen over http.sock tells every call (`?N`: but for the first N), /__count how many;
/__forget forgets them. A gRPC call named `...Stream` is answered three times.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import uvicorn

SEEN: list[dict[str, Any]] = []
ANSWER = b"\x0a\x06bridge"


class Anything(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, call: Any) -> Any:
        SEEN.append({"call": call.method, "headers": {k: str(v) for k, v in call.invocation_metadata}})
        if call.method.endswith("Stream"):
            return grpc.unary_stream_rpc_method_handler(self.many)
        return grpc.unary_unary_rpc_method_handler(self.one)

    async def one(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-prompt-tokens", "5"), ("x-completion-tokens", "6")))
        return ANSWER

    async def many(self, request: bytes, context: Any) -> Any:
        for _ in range(3):
            yield ANSWER
        context.set_trailing_metadata((("x-prompt-tokens", "5"), ("x-completion-tokens", "3")))


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/__seen":
        answer: Any = SEEN[int(scope["query_string"] or 0) :]
    elif scope["path"] == "/__count":
        answer = len(SEEN)
    elif scope["path"] == "/__forget":
        answer = SEEN.clear()
    else:
        headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
        SEEN.append({"call": f"{scope['method']} {scope['path']}", "headers": headers})
        answer = {"bridge": scope["path"], "bytes": len(body)}
    content = json.dumps(answer).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def main() -> None:
    directory = Path(sys.argv[1])
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Anything(),))
    server.add_insecure_port(f"unix:{directory / 'grpc.sock'}")
    await server.start()
    config = uvicorn.Config(app, uds=str(directory / "http.sock"), log_level="warning", lifespan="off")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
