"""The bridge's own HTTP/1.1, both ends, over real unix sockets."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.bridge.http1.client import WINDOW, Connection, Lost
from services.bridge.http1.server import Request, Response, Server

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


async def echo(request: Request) -> Response:
    return Response(200, b"%d:" % len(request.body or b"") + (request.body or b"")[:9], {"x-path": request.path})


@asynccontextmanager
async def serving(handler: Handler = echo, largest: int = 1 << 20) -> AsyncIterator[tuple[Server, Path]]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        server, path = Server(handler, largest), Path(directory) / "s"
        await server.start(path)
        try:
            yield server, path
        finally:
            await server.stop(0.1)


@asynccontextmanager
async def answering(*pieces: bytes | None) -> AsyncIterator[Path]:
    """A server that sends these bytes, whatever it is asked; None ends the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for piece in pieces:
            if piece is None:
                writer.close()
                return
            writer.write(piece)
            await asyncio.sleep(0)
        await reader.read()

    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = Path(directory) / "s"
        listening = await asyncio.start_unix_server(talk, path)
        try:
            yield path
        finally:
            listening.close()


async def connect(path: Path) -> Connection:
    _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, str(path))
    return connection


async def whole(connection: Connection) -> bytes:
    content = b""
    while piece := await connection.read():
        content += piece
    return content


async def raw(path: Path, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.001)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def test_one_connection_takes_one_request_after_the_other() -> None:
    async def check() -> None:
        async with serving() as (server, path):
            connection = await connect(path)
            for size in (0, 1, 70_000):
                await connection.send("POST", f"/p?{size}", {"x-a": "b"}, b"z" * size)
                assert connection.status == 200 and connection.headers["x-path"] == f"/p?{size}"
                assert await whole(connection) == b"%d:" % size + b"z" * min(size, 9)
                assert connection.reusable
            assert len(server.connections) == 1

    asyncio.run(check())


def test_a_body_over_the_limit_is_handed_on_as_none_and_not_held() -> None:
    async def handle(request: Request) -> Response:
        return Response(413 if request.body is None else 200)

    async def check() -> None:
        async with serving(handle, largest=10) as (_, path):
            connection = await connect(path)
            for size, status in ((10, 200), (11, 413), (1 << 20, 413), (3, 200)):
                await connection.send("POST", "/", {}, b"z" * size)
                assert (connection.status, await whole(connection)) == (status, b"")

    asyncio.run(check())


def test_a_request_in_pieces_and_two_at_once_are_answered_in_order() -> None:
    async def check() -> None:
        async with serving() as (_, path):
            one = b"POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"
            two = b"POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
            pieces = [(one + two)[i : i + 7] for i in range(0, len(one + two), 7)]
            for sent in (pieces, [one + two]):
                answers = await raw(path, *sent)
                assert answers.index(b"x-path: /1") < answers.index(b"3:abc") < answers.index(b"x-path: /2")
                assert answers.endswith(b"2:de")

    asyncio.run(check())


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"\x16\x03\x01\x00"]
)
def test_what_is_no_http_is_refused_and_the_connection_ends(sent: bytes) -> None:
    async def check() -> None:
        async with serving() as (_, path):
            assert (await raw(path, sent)).startswith(b"HTTP/1.1 400 ")

    asyncio.run(check())


def test_a_request_whose_connection_ends_is_cancelled() -> None:
    async def check() -> None:
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def slow(_request: Request) -> Response:
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return Response()

        async with serving(slow) as (server, path):
            connection = await connect(path)
            task = asyncio.ensure_future(connection.send("GET", "/", {}, b""))
            await asyncio.wait_for(began.wait(), 5)
            connection.close()
            await asyncio.wait_for(cancelled.wait(), 5)
            with pytest.raises(Lost):
                await task
            assert not server.connections

    asyncio.run(check())


def test_stopping_lets_what_is_under_way_finish_and_closes_the_rest() -> None:
    async def check() -> None:
        go = asyncio.Event()

        async def waiting(_request: Request) -> Response:
            await go.wait()
            return Response(200, b"done")

        async with serving(waiting) as (server, path):
            idle, busy = await connect(path), await connect(path)
            task = asyncio.ensure_future(busy.send("GET", "/", {}, b""))
            while not any(connection.task for connection in server.connections):
                await asyncio.sleep(0.001)
            stopping = asyncio.ensure_future(server.stop(5))
            await asyncio.sleep(0.01)
            assert idle.lost and not stopping.done()
            go.set()
            await task
            assert await whole(busy) == b"done" and not busy.reusable
            await stopping

    asyncio.run(check())


@pytest.mark.parametrize(
    "pieces",
    [
        (None,),
        (b"HTTP/1.1 200 OK\r\n", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", None),
        (b"SMTP ready\r\n",),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",),
    ],
)
def test_an_answer_that_is_cut_or_no_http_is_lost_and_never_taken_for_whole(pieces: tuple[bytes | None, ...]) -> None:
    async def check() -> None:
        async with answering(*pieces) as path:
            connection = await connect(path)
            with pytest.raises(Lost):
                await connection.send("GET", "/", {}, b"")
                await whole(connection)
            assert not connection.reusable
            connection.close()

    asyncio.run(asyncio.wait_for(check(), 10))


def test_a_connection_is_used_again_only_after_a_whole_answer_that_lets_it_be() -> None:
    async def after(*pieces: bytes, read: bool = True) -> bool:
        async with answering(*pieces) as path:
            connection = await connect(path)
            await connection.send("GET", "/", {}, b"")
            if read:
                await whole(connection)
            reusable = connection.reusable
            connection.close()
            return reusable

    async def check() -> None:
        good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"
        assert await after(good)
        assert await after(b"HTTP/1.1 100 Continue\r\n\r\n", good)
        assert not await after(good[:-1], read=False)
        assert not await after(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab")
        assert not await after(good + b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")

    asyncio.run(asyncio.wait_for(check(), 10))


def test_what_nobody_takes_is_not_read() -> None:
    """While the reader pauses, no more of 16 MiB arrives than the window and the sockets hold."""

    async def check() -> None:
        sent = 0

        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.read(1)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (16 << 20))
            for _ in range(256):
                writer.write(bytes(64 << 10))
                await writer.drain()
                sent += 64 << 10

        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            listening = await asyncio.start_unix_server(pour, Path(directory) / "s")
            connection = await connect(Path(directory) / "s")
            await connection.send("GET", "/", {}, b"")
            await asyncio.sleep(0.3)
            assert sent < (4 << 20) + WINDOW
            assert len(await whole(connection)) == 16 << 20 == sent
            listening.close()

    asyncio.run(asyncio.wait_for(check(), 120))


def test_a_header_with_a_line_break_is_not_sent() -> None:
    async def check() -> None:
        async with serving() as (_, path):
            connection = await connect(path)
            for name, value in (("a", "b\r\nx-service: other"), ("a", "b\nc"), ("a\r\nb", "c")):
                with pytest.raises(ValueError, match="line break"):
                    await connection.send("GET", "/", {name: value}, b"")

    asyncio.run(check())
