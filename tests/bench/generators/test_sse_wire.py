"""The stream generator sees every frame, however bytes are cut, and knows a stream that was cut from a whole one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from bench.generators.sse_load import Slot, Tally
from bench.generators.sse_wire import Stream, StreamError
from bench.targets import sse_server

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def slot() -> Iterator[Slot]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        target = {"host": "127.0.0.1", "port": listening.getsockname()[1], "path": "/", "headers": {}}
        new_slot = Slot(target, b"%d", Tally())
        yield new_slot
        new_slot.wire.close()


def frame(number: int, came: int = 0) -> bytes:
    return sse_server.event(sse_server.FRAME % f"{number} 1000 {came}")


END = sse_server.event("[DONE]") + b"0\r\n\r\n"


def feed(slot: Slot, data: bytes, step: int) -> bool:
    over = False
    for at in range(0, len(data), step):
        over = slot.take(data[at : at + step], 5000)
    return over


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_whole_stream_is_counted_however_it_is_cut(slot: Slot, step: int) -> None:
    slot.tokens, slot.began = 3, 500
    assert feed(slot, HEAD + frame(0, came=700) + frame(1) + frame(2) + END, step)
    tally = slot.tally
    assert (tally.streams, tally.frames, tally.lost, tally.cut) == (1, 3, 0, 0)
    assert list(tally.first) == [700 - 500 + 5000 - 1000]  # there and back, without the time at the backend
    assert list(tally.later) == [4000, 4000]


@pytest.mark.parametrize("numbers", [(0, 2), (0, 1), (1, 0, 2), (0, 0, 1, 2)])
def test_a_frame_that_is_missing_doubled_or_out_of_order_is_seen(slot: Slot, numbers: tuple[int, ...]) -> None:
    slot.tokens = 3
    feed(slot, HEAD + b"".join(map(frame, numbers)) + END, 100_000)
    assert slot.tally.lost > 0


def test_a_stream_that_ends_early_is_cut(slot: Slot) -> None:
    slot.tokens = 3
    assert not feed(slot, HEAD + frame(0), 100_000)
    with pytest.raises(StreamError):
        slot.take(b"", 1)


def test_any_other_answer_is_an_error() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        stream = Stream("127.0.0.1", listening.getsockname()[1], "/", {}, b"%d")
        with pytest.raises(StreamError):
            stream.feed(b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n")
        stream.close()
