"""One request to the OpenAI door: chat, completion or embedding, streamed or not.

aiohttp, so that whoever closes the generator closes the connection, and with it ends the generation.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from http.client import responses as phrases
from typing import Any, Final

import aiohttp
import numpy as np

from console.errors import Unavailable
from services.clients.generation.call import (
    CHAT,
    COMPLETION,
    EMBEDDING,
    Ask,
    Exchange,
    Generation,
    Piece,
    TextCall,
    Usage,
)
from services.clients.inference import wire
from services.clients.inference.call import SHOWN_BODY, Message, Output
from services.clients.inference.caller import CONNECT_SECONDS, without_key
from services.clients.inference.http_exchange import error_of

PATHS: Final = {CHAT: "/v1/chat/completions", COMPLETION: "/v1/completions", EMBEDDING: "/v1/embeddings"}
HELD_BYTES: Final = 16 << 20
"""Largest answer that is not streamed, and largest event of a stream."""


def body_of(ask: Ask) -> dict[str, Any]:
    """What is sent, as the OpenAI API spells it."""
    body: dict[str, Any] = {"model": ask.model}
    if ask.task == EMBEDDING:
        return {**body, "input": ask.prompt}
    if ask.task == CHAT:
        body["messages"] = [dict(message) for message in ask.messages]
    else:
        body["prompt"] = ask.prompt
    if ask.max_tokens is not None:
        body["max_tokens"] = ask.max_tokens
    if ask.temperature is not None:
        body["temperature"] = ask.temperature
    if ask.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


async def generate(call: TextCall) -> AsyncGenerator[Piece | Generation, None]:
    """Pieces, then one Generation. Raises Unavailable when nothing listens there. Close it to end the generation."""
    begun = time.perf_counter()
    exchange = _Exchange(call)
    timeout = aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS, sock_read=call.caller.timeout)
    async with aiohttp.ClientSession(
        timeout=timeout, trace_configs=[exchange.trace()], auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        exchange.started = exchange.connected = time.perf_counter()
        exchange.built_ms = 1000 * (exchange.started - begun)
        try:
            async with session.post(exchange.url, data=exchange.body, headers=exchange.headers) as response:
                async for piece in exchange.read(response):
                    yield piece
        except aiohttp.ClientConnectorError as error:
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
            raise Unavailable(f"The gateway does not answer at {call.caller.address}: {reason}.") from error
        except TimeoutError:
            exchange.error = f"Nothing came for {call.caller.timeout:g} s."
        except (aiohttp.ClientError, OSError) as error:
            exchange.error = f"The connection ended before the answer did ({type(error).__name__})."
    yield exchange.result()


class _Exchange(Exchange):
    def __init__(self, call: TextCall) -> None:
        super().__init__(call, "no answer")
        self.path = PATHS[call.ask.task]
        self.url = f"http://{call.caller.address}{self.path}"
        self.body = json.dumps(body_of(call.ask), ensure_ascii=False).encode()
        self.headers = {
            **call.caller.headers(),
            "content-type": "application/json",
            "accept-encoding": "identity",
            "accept": "text/event-stream" if call.ask.stream else "application/json",
        }
        self.answer_headers: dict[str, str] = {}
        self.finish = ""
        self.usage = Usage()
        self.shown = ""

    def trace(self) -> aiohttp.TraceConfig:
        async def connected(*_: Any) -> None:
            self.connected = time.perf_counter()

        config = aiohttp.TraceConfig()
        config.on_connection_create_end.append(connected)
        return config

    async def read(self, response: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
        self.status = f"{response.status} {phrases.get(response.status, '')}".strip()
        self.answer_headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status == 200 and response.content_type == "text/event-stream":
            async for piece in self._stream(response):
                yield piece
            return
        body = await self._whole(response)
        self.shown = wire.cut(body.decode("utf-8", "replace"))
        if response.status != 200:
            self.error = error_of(body, response.status)
        elif self.size > len(body):
            self.error = f"The answer has {self.size:,} bytes: too many to be read here."
        else:
            self._take_whole(body)

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        held = bytearray()
        async for chunk in response.content.iter_any():
            self.size += len(chunk)
            held += chunk[: HELD_BYTES - len(held)]
        return bytes(held)

    def _take_whole(self, body: bytes) -> None:
        try:
            answer = json.loads(body)
            self.usage = _usage(answer.get("usage"))
            if self.call.ask.task == EMBEDDING:
                self.outputs = tuple(_vector(row) for row in answer["data"])
                return
            choice = answer["choices"][0]
            text = choice["message"]["content"] if self.call.ask.task == CHAT else choice["text"]
            self.collected.add(text or "", self.now())
            self.collected.first_ms = None  # that it came at once says nothing of the first token
            self.finish = str(choice.get("finish_reason") or "")
        except (ValueError, LookupError, TypeError, AttributeError):
            self.error = "The answer is not one of the OpenAI API."

    async def _stream(self, response: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
        done = False
        async for line in self._lines(response):
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                done = True
                break
            for text in self._event(data):
                yield self.collected.add(text, self.now())
        if not done and not self.error:
            self.error = "The stream ended before it was complete."

    async def _lines(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in response.content.iter_any():
            self.size += len(chunk)
            if len(self.shown) < SHOWN_BODY:
                self.shown += chunk.decode("utf-8", "replace")
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line
            if len(rest) > HELD_BYTES:
                self.error = "An event of the stream is too large to be read here."
                return

    def _event(self, data: bytes) -> list[str]:
        """The text of one event, if it has any."""
        try:
            event: dict[str, Any] = json.loads(data)
            if event.get("error"):
                self.error = error_of(data, 500)
                return []
            if event.get("usage"):
                self.usage = _usage(event["usage"])
            texts = []
            for choice in event.get("choices", ()):
                self.finish = str(choice.get("finish_reason") or self.finish)
                text = choice.get("delta", {}).get("content") if self.call.ask.task == CHAT else choice.get("text")
                texts += [text] if text else []
            return texts
        except (ValueError, LookupError, TypeError, AttributeError):
            self.error = "An event of the stream is not one of the OpenAI API."
            return []

    def result(self) -> Generation:
        caller = self.call.caller
        sent = Message(
            f"POST {self.path} HTTP/1.1",
            {"host": caller.address, **without_key(self.headers, caller.key)},
            wire.cut(json.dumps(body_of(self.call.ask), ensure_ascii=False, indent=2)),
            len(self.body),
        )
        got = Message(f"HTTP/1.1 {self.status}", self.answer_headers, wire.cut(self.shown), self.size)
        return self.generation(sent, got, self.usage, self.now(), self.finish)


def _usage(fields: Any) -> Usage:
    if not isinstance(fields, Mapping):
        return Usage()
    prompt, completion = (fields.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(prompt if isinstance(prompt, int) else None, completion if isinstance(completion, int) else None)


def _vector(row: Mapping[str, Any]) -> Output:
    values = np.array(row["embedding"], dtype=np.float32)
    return wire.output_of("embedding", "FP32", values)
