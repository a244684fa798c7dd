"""How the null backend answers OpenAI requests: byte for byte as vLLM does, with tokens that are numbers.

`max_tokens` says how many there are. `user` may hold, apart by commas: `split=N` (the answer is written in pieces of N
bytes), `wait=MS` (between events), `stall` (the answer never ends after its tokens), `length` (told before an answer).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

PROMPT_TOKENS = 7
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def answer(path: str, body: bytes, send: Send) -> None:
    try:
        request = json.loads(body)
    except ValueError:  # as vLLM
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error": {"message": "not JSON"}}'})
        return
    stream = request.get("stream") is True
    headers = [(b"content-type", b"text/event-stream; charset=utf-8" if stream else b"application/json")]
    options = dict(each.partition("=")[::2] for each in str(request.get("user", "")).split(",") if each)
    body = b"" if stream else json.dumps(whole(path, request)).encode()
    if body and "length" in options:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not stream:
        return await write(send, [body], options, last=True)
    await write(send, events(path, request), options, last="stall" not in options)
    if "stall" in options:
        await asyncio.sleep(60)


async def write(send: Send, parts: list[bytes], options: dict[str, str], *, last: bool) -> None:
    size = int(options.get("split", "0"))
    if size:
        joined = b"".join(parts)
        parts = [joined[at : at + size] for at in range(0, len(joined), size)]
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(int(options.get("wait", "0")) / 1000)
    if last:
        await send({"type": "http.response.body", "body": b""})


def usage(count: int) -> dict[str, Any]:
    return {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS + count, "completion_tokens": count}


def tokens(request: dict[str, Any]) -> int:
    """As many as were asked for, when that is a number; a fuzzer asks for anything."""
    count = request.get("max_tokens")
    return min(count, 100_000) if type(count) is int else 3


def whole(path: str, request: dict[str, Any]) -> dict[str, Any]:
    if path.endswith("embeddings"):
        data = [{"object": "embedding", "embedding": [0.5] * 512, "index": 0}]
        return {"id": "embd-1", "object": "list", "model": request.get("model"), "data": data, "usage": usage(0)}
    count = tokens(request)
    # Text that looks like a usage: it is in a string, so it is none.
    text = " ".join(map(str, range(count))) + ' "usage":{"prompt_tokens":999,"completion_tokens":999}'
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": request.get("model"),
        "choices": [choice],
        "usage": usage(count),
        "prompt_logprobs": ["x" * 9000],
    }


def events(path: str, request: dict[str, Any]) -> list[bytes]:
    """What the client is to see: with the usage at the end only when it asked for that."""
    chat = "chat" in path
    count = tokens(request)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}] if chat else []
    deltas += [{"content": f"{index} "} if chat else {"text": f"{index} "} for index in range(count)]
    chunks = []
    for delta in deltas:
        choice = {"index": 0, "delta": delta} if chat else {"index": 0, **delta}
        chunks.append({"id": "c-1", "object": "chunk", "choices": [choice]})
    if (request.get("stream_options") or {}).get("include_usage"):
        chunks.append({"id": "c-1", "object": "chunk", "choices": [], "usage": usage(count)})
    lines = [f"data: {json.dumps(each, separators=(',', ':'))}\n\n".encode() for each in chunks]
    return [*lines, b"data: [DONE]\n\n"]
