"""How large a request to the console may be, whoever sends it. What a page takes of that is its own matter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

TOO_LARGE: Final = b"The request is larger than the console takes.\n"


class BodyLimit:
    """Answers 413 to a body of more than `most` bytes, and reads no further.

    Django writes a whole body to disk before it asks who sent it, so without this anybody could fill the disk.
    """

    def __init__(self, application: Application, most: int) -> None:
        self.application = application
        self.most = most

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.application(scope, receive, send)
        if _length(scope) > self.most:
            return await _refuse(send)
        taken, answered = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            # As if the client had gone: that is how Django gives up on a body, and removes what it has of it.
            return {"type": "http.disconnect"} if taken > self.most else message

        async def noticed(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        await self.application(scope, counted, noticed)
        if taken > self.most and not answered:
            await _refuse(send)


def _length(scope: Mapping[str, Any]) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() and len(length) < 20 else 0


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(TOO_LARGE)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": TOO_LARGE})
