"""Answers to HTTP/1.0, which knows no chunks: the server would send chunks for whatever does not say its length."""

from __future__ import annotations

from typing import Any

from console.web.body_limit import Application, Message, Receive, Send


class WholeAnswers:
    """Holds an answer without a length until it is whole, and tells its length. For HTTP/1.0 only."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["http_version"] != "1.0":
            return await self.application(scope, receive, send)
        held: list[Message] = []

        async def hold(message: Message) -> None:
            if not held and (message["type"] != "http.response.start" or _has_length(message)):
                return await send(message)
            held.append(message)
            if len(held) == 1 or message.get("more_body"):
                return
            body = b"".join(each.get("body", b"") for each in held[1:])
            length = (b"content-length", str(len(body)).encode())
            await send({**held[0], "headers": [*held[0].get("headers", ()), length]})
            await send({"type": "http.response.body", "body": body})
            held.clear()

        await self.application(scope, receive, hold)


def _has_length(start: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in start.get("headers", ()))
