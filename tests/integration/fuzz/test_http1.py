"""HTTP/1.1 that no client would send: torn, endless, too many, too large, contradicting itself, too slow."""

from __future__ import annotations

import gzip
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.integration.fuzz.arena import EXAMPLES, MIB, Arena, watched
from tests.integration.fuzz.wire import connected, exchange, first_answer, head, send, status_of, well_formed

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
INFER, PREDICT, CHAT = "/v2/models/mnist/infer", "/v1/models/rows:predict", "/v1/chat/completions"
JSON, CLOSE = "Content-Type: application/json", "Connection: close"
CHUNKED = "Transfer-Encoding: chunked"
TRITON = "/v2/models/rows/infer"
BOMB = gzip.compress(bytes(MIB))
BOMB *= 10 * MIB // len(BOMB) + 1
BOMB = BOMB[: 10 * MIB]
"""Members one after the other, as many as fit into ten MiB: a thousand times that when they are opened."""
WHOLE = head("POST", INFER, JSON, CLOSE, "Content-Length: 2") + b"{}"


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(cut=st.integers(0, len(WHOLE)), noise=st.binary(max_size=64))
@example(cut=0, noise=b"\x00" * 64)
@example(cut=len(WHOLE), noise=b"\xff\xfe")
def test_torn_and_garbled_requests(arena: Arena, cut: int, noise: bytes) -> None:
    answer = exchange(arena.port, WHOLE[:cut] + noise, half_close=True)
    if not answer.startswith(b"\x00"):  # what begins as HTTP/2 is answered so
        assert well_formed(answer) in (0, 200, 400, 401, 404, 408, 413, 415, 431, 505)


@pytest.mark.parametrize(("count", "size"), [(90, 10), (101, 10), (5000, 10), (1, 59 << 10), (1, 61 << 10), (1, MIB)])
def test_headers_too_many_or_too_large(arena: Arena, count: int, size: int) -> None:
    lines = [f"X-Fill-{i}: {'a' * size}" for i in range(count)]
    with watched(arena):
        status = status_of(send(arena.port, head("POST", INFER, JSON, CLOSE, "Content-Length: 2", *lines) + b"{}"))
    assert status == 200 if (count, size) in ((90, 10), (1, 59 << 10)) else status in (0, 431)


@pytest.mark.parametrize(
    "target",
    ["/" + "a" * 70_000, "/v2/models/" + "a/" * 20_000, "/v2/models/" + "%41" * 9000],
    ids=["letters", "slashes", "escapes"],
)
def test_a_target_too_long(arena: Arena, target: str) -> None:
    with watched(arena):
        assert status_of(send(arena.port, head("GET", target, CLOSE))) in (0, 404, 431)


@pytest.mark.parametrize(("target", "expected"), [(INFER, 200), (PREDICT, 400), (CHAT, 400)])
def test_a_hundred_thousand_chunks(arena: Arena, target: str, expected: int) -> None:
    """Chunks of one byte each. They form JSON: `[1,1,...1]`."""
    body = b"[" + b"1," * 49_999 + b"1]"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with watched(arena):
        answer = send(arena.port, head("POST", target, JSON, CLOSE, CHUNKED) + chunks + b"0\r\n\r\n")
    assert well_formed(answer) == expected


def test_a_chunk_whose_size_cannot_be(arena: Arena) -> None:
    with watched(arena):
        for size in (b"f" * 17, b"7" + b"f" * 15, b"-1", b"g", b"", b"1" * 4000, b"1;" + b"x" * 70_000):
            sent = head("POST", INFER, JSON, CLOSE, CHUNKED) + size + b"\r\nab\r\n0\r\n\r\n"
            assert well_formed(exchange(arena.port, sent, half_close=True)) in (0, 400, 413, 431)


def test_an_endless_body_is_refused_before_it_is_held(arena: Arena) -> None:
    with watched(arena), ThreadPoolExecutor(3) as pool:
        sent = list(pool.map(lambda target: _endless(arena, target), (INFER, PREDICT, CHAT)))
    assert all(size < 60 * MIB for size in sent)  # sixteen are the limit; what fills the sockets' buffers goes on top


def _endless(arena: Arena, target: str) -> int:
    piece, sent = b"10000\r\n" + b" " * 65536 + b"\r\n", 0
    with connected(arena.port) as sock:
        sock.sendall(head("POST", target, JSON, CLOSE, CHUNKED))
        try:
            while sent < 100 * MIB:
                sock.sendall(piece)
                sent += 65536
        except OSError:
            pass
        assert status_of(first_answer(sock)) in (0, 413)
    return sent


def test_lengths_that_are_wrong_in_either_direction(arena: Arena) -> None:
    """Too long: the request waits for the rest, and is given up with its connection. Too short: what is left over is
    no second request of anybody's.
    """
    before = arena.backend.count()
    with watched(arena) as steady:
        for target in (INFER, TRITON, PREDICT, CHAT):
            for length in (3, 1000, 10 * MIB):
                sent = head("POST", target, JSON, f"Content-Length: {length}") + b"{}"
                assert status_of(exchange(arena.port, sent, half_close=True)) in (0, 400)
        left_over = b"GET /v2/repository/index HTTP/1.1\r\nX: y\r\n\r\n"
        got = exchange(arena.port, head("POST", INFER, JSON, "Content-Length: 2") + b"{}" + left_over)
        assert got.startswith(b"HTTP/1.1 200") and got.count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 400" in got
    seen = [each["call"] for each in arena.backend.seen(before)]
    assert len(seen) <= steady.sent + 12 + 4 and not any("repository" in each for each in seen)


def test_a_torn_body_reaches_no_backend(arena: Arena) -> None:
    """Cut at every byte of a small request's body: the client is gone before the message is whole."""
    body = b'{"inputs": []}'
    before = arena.counters()
    with watched(arena):
        for target in (TRITON, PREDICT, CHAT):
            for cut in range(len(body)):
                top = head("POST", target, JSON, f"Content-Length: {len(body)}")
                with connected(arena.port) as sock:
                    sock.sendall(top + body[:cut])
                top = head("POST", target, JSON, CHUNKED)
                with connected(arena.port) as sock:
                    sock.sendall(top + b"%x\r\n%s" % (len(body), body[:cut]))
    assert arena.triton_requests(before) == 0


@pytest.mark.parametrize("target", [INFER, TRITON, PREDICT, CHAT])
def test_a_compressed_bomb_is_not_opened(arena: Arena, target: str) -> None:
    """Ten MiB that would become ten GiB: refused for its header, before anybody reads it. Triton would open it."""
    before, seen = arena.counters(), arena.backend.count()
    with watched(arena, gateway=64 * MIB):
        lines = (JSON, CLOSE, "Content-Encoding: gzip", f"Content-Length: {10 * MIB}")
        assert well_formed(send(arena.port, head("POST", target, *lines) + BOMB)) == 415
    assert arena.triton_requests(before) == 0
    assert not [each for each in arena.backend.seen(seen) if each["headers"].get("content-encoding")]


def test_slow_headers_are_given_up_and_slow_bodies_hold_nobody_up(arena: Arena) -> None:
    with watched(arena), ExitStack() as stack:
        slow = [stack.enter_context(connected(arena.port, 20)) for _ in range(200)]
        for i, sock in enumerate(slow):
            whole = head("POST", INFER, JSON, "Content-Length: 1000")
            sock.sendall(whole[:-2] if i % 2 else whole)
        begun = time.monotonic()
        while time.monotonic() - begun < 8:
            for i, sock in enumerate(slow):
                try:
                    sock.sendall(b"X-S: 1\r\n" if i % 2 else b" ")
                except OSError:
                    assert i % 2
            time.sleep(1)
        slow[1].settimeout(30)
        assert status_of(first_answer(slow[1])) in (0, 408)
        assert 9 < time.monotonic() - begun < 30  # request_headers_timeout is ten


def test_clients_that_vanish(arena: Arena) -> None:
    """Half of a body, or a whole question whose answer nobody takes: closed with a reset."""
    with watched(arena):
        for i in range(200):
            with connected(arena.port) as sock:
                target = (INFER, PREDICT, CHAT)[i % 3]
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                sock.sendall(head("POST", target, JSON, "Content-Length: 4") + (b"{" if i % 2 else b"{  }"))


def test_pipelined_requests_are_answered_in_order(arena: Arena) -> None:
    one = head("POST", INFER, JSON, "Content-Length: 2") + b"{}"
    with watched(arena):
        answer = exchange(arena.port, one * 200 + WHOLE)
    assert answer.count(b"HTTP/1.1 200 OK") == 201
