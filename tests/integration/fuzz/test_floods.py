"""Floods of HTTP/2 frames. Each ends its own connection, within the time that a refused one may linger, or does no
harm; and meanwhile nobody else notices anything.
"""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tritonclient.grpc import service_pb2

from tests.integration.fuzz.arena import MIB, Arena, watched
from tests.integration.fuzz.flood import FLOOD_CONTROL, PROBE, Flood, Outcome, run
from tests.integration.fuzz.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    STATUS_200,
    WINDOW_UPDATE,
    block,
    call,
    connected,
    frame,
    frames,
    h2,
)
from tests.servers.gateway.rig import until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
OPEN = frame(HEADERS, END_HEADERS, 1, call())
ENDLESS = frame(HEADERS, 0, 1, call())
LINGERS, MARGIN = 5.0, 4.0
"""Seconds: how long a connection that is ended stays for what is still coming in, and for a busy machine."""
PEAK, AFTER = 128 * MIB, 4 * MIB
"""By how much the gateway may grow with all floods at once, and by how much what it holds when they are over."""
STEADY_REQUESTS = 20


def same(one: bytes) -> bytes:
    return one * 1000


def resets(at: int) -> bytes:
    """Streams opened and reset at once (CVE-2023-44487)."""
    return b"".join(
        frame(HEADERS, END_HEADERS, 2 * i + 1, call()) + frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8))
        for i in range(at // 2, at // 2 + 50)
    )


MANY_SETTINGS = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1) * 50)
LARGE_PIECES = frame(CONTINUATION, 0, 1, block(("x-a", "b" * 100)) * 100) * 100
FLOODS = (
    Flood("ping", lambda _: same(frame(PING, 0, 0, b"12345678")), 50_000),
    Flood("settings", lambda _: same(frame(SETTINGS, 0, 0)), 50_000),
    Flood("many-settings", lambda _: same(MANY_SETTINGS), 50_000, goaway=FLOOD_CONTROL, least=1000),
    Flood("unknown", lambda _: same(frame(97, 0, 0, b"unknown")), 50_000, survives=True),
    Flood(
        "priority",
        lambda _: same(frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1))),
        50_000,
        first=OPEN,
        counter="http2.inbound_priority_frames_flood",
    ),
    Flood(
        "empty-data", lambda _: same(frame(DATA, 0, 1)), 50_000, first=OPEN, counter="http2.inbound_empty_frames_flood"
    ),
    Flood(
        "window",
        lambda _: same(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))),
        50_000,
        first=OPEN,
        counter="http2.inbound_window_update_frames_flood",
    ),
    Flood(
        "rapid-reset",
        resets,
        40_000,
        batch=100,
        least=1000,
        counter="http.gateway.downstream_rq_too_many_premature_resets",
    ),
    # CVE-2024-27316 and its like: a header block that has no end.
    Flood(
        "continuation-empty",
        lambda _: same(frame(CONTINUATION, 0, 1)),
        20_000,
        first=ENDLESS,
        counter="http2.inbound_empty_frames_flood",
    ),
    Flood(
        "continuation-large",
        lambda _: LARGE_PIECES,
        2000,
        batch=100,
        first=ENDLESS,
        least=100,
        counter="http2.header_overflow",
    ),
)


def judge(flood: Flood, outcome: Outcome) -> None:
    """That it was sent, and how it ended."""
    outcome_of_flood = (flood.name, flood.reads, outcome.sent, outcome.ended, outcome.kinds, outcome.goaways)
    assert outcome.sent >= (flood.least or flood.frames) or outcome.ended is not None, outcome_of_flood
    # The socket may have taken the batch that it then said it could not take.
    assert outcome.sent + flood.batch >= flood.least, outcome_of_flood
    assert len(outcome.answer) < MIB, outcome_of_flood
    if flood.survives:
        assert outcome.alive and outcome.ended is None and not outcome.goaways, outcome_of_flood
        return
    assert not outcome.alive, outcome_of_flood
    assert outcome.ended is not None and outcome.ended <= LINGERS + MARGIN, outcome_of_flood
    assert outcome.goaways in ([], [FLOOD_CONTROL]), outcome_of_flood


def test_floods_end_their_own_connections_and_nothing_else(arena: Arena) -> None:
    """All at once, and each twice: with a client that reads what comes back, and with one that does not."""
    floods = [replace(flood, reads=reads) for flood in FLOODS for reads in (True, False)]
    before, reached = arena.counters(), arena.backend.count()
    with watched(arena, gateway=PEAK) as steady, ThreadPoolExecutor(len(floods)) as pool:
        held = arena.allocated()
        outcomes = list(pool.map(lambda flood: run(arena.port, flood, LINGERS + MARGIN + 1), floods))
    until(lambda: arena.allocated() - held <= AFTER)
    for flood, outcome in zip(floods, outcomes, strict=True):
        judge(flood, outcome)
    grown = arena.grown(before)
    for name in {flood.counter for flood in FLOODS if flood.counter}:
        ended = sum(flood.counter == name for flood in floods)
        assert grown.get(name, 0) >= ended, (name, grown)
    assert sum(bool(each.goaways) for flood, each in zip(floods, outcomes, strict=True) if flood.goaway) >= 1
    assert len(steady.seconds) >= STEADY_REQUESTS
    # No stream that was reset at once reached a backend.
    assert arena.backend.count() - reached <= steady.sent + 12


def test_answers_that_nobody_takes_hold_no_more_than_themselves(arena: Arena) -> None:
    """Five hundred calls whose windows stay shut: all are answered as far as that goes, and the connection lives."""
    message = service_pb2.ModelInferRequest(model_name="mnist").SerializeToString()
    data = b"\0" + struct.pack(">I", len(message)) + message
    frames_sent = b"".join(
        frame(HEADERS, END_HEADERS, i, call()) + frame(DATA, END_STREAM, i, data) for i in range(1, 1000, 2)
    )
    with watched(arena, gateway=PEAK) as steady, connected(arena.port) as sock:
        sock.sendall(h2(frames_sent, window=0))
        got = b""
        while sum(kind == HEADERS for kind, *_ in frames(got)) < 500:
            part = sock.recv(65536)
            assert part, frames(got)[-3:]
            got += part
        sock.sendall(frame(PING, 0, 0, PROBE))
        while frame(PING, ACK, 0, PROBE) not in got:
            got += sock.recv(65536)
        begun = len(steady.seconds)
        until(lambda: len(steady.seconds) >= begun + 5)
    assert not any(kind == DATA and payload for kind, _, _, payload in frames(got))
    assert all(STATUS_200 in payload[:1] for kind, _, _, payload in frames(got) if kind == HEADERS)
