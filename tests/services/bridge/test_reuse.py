"""A connection to the gateway is used again, but not when the gateway may be about to close it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from services.bridge import upstream
from services.bridge.upstream import Call, Upstream

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def connections_of_two_requests() -> int:
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)

    with tempfile.TemporaryDirectory(prefix="up") as folder:
        path = Path(folder) / "egress.sock"
        server = await asyncio.start_unix_server(serve, str(path))
        client = Upstream(path, 1 << 20)
        for _ in range(2):
            assert (await client.get(Call("mnist"), "/v2/models/mnist")).content == b"{}"
        client.close()
        server.close()
    return opened


@pytest.mark.parametrize(("seconds", "expected"), [(600.0, 1), (0.0, 2)], ids=["fresh", "too old"])
def test_a_connection_is_used_again_while_it_is_young(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int
) -> None:
    monkeypatch.setattr(upstream, "IDLE_SECONDS", seconds)
    assert asyncio.run(connections_of_two_requests()) == expected
