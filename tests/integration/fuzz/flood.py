"""One connection that sends frames as fast as they are taken, and what became of it."""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.integration.fuzz.wire import ACK, GOAWAY, PING, connected, frame, frames, h2

FLOOD_CONTROL = 11
"""ENHANCE_YOUR_CALM."""
PROBE = b"still on"


@dataclass(frozen=True)
class Flood:
    name: str
    unit: Callable[[int], bytes]
    """The bytes from the frame of this number on."""
    frames: int
    """How many are sent, when none of them is refused."""
    batch: int = 1000
    """Frames in a unit."""
    first: bytes = b""
    reads: bool = True
    """Whether the client takes what comes back."""
    counter: str = ""
    """Envoy's counter of connections that it ended for this reason."""
    goaway: int | None = None
    survives: bool = False
    least: int = 0
    """Fewer than so many cannot have been what ended the connection. By default all."""


@dataclass
class Outcome:
    sent: int = 0
    """Frames that the socket took."""
    ended: float | None = None
    """Seconds after the last frame until the other side ended the connection."""
    answer: bytes = b""
    kinds: Counter[int] = field(default_factory=Counter)
    goaways: list[int] = field(default_factory=list)
    alive: bool = False
    """A ping after the flood was answered."""


def run(port: int, flood: Flood, seconds: float) -> Outcome:
    """Sends it, then waits for the connection's end; of one that survives, for the answer to a ping."""
    outcome, got, over = Outcome(), bytearray(), threading.Event()
    with connected(port, seconds) as sock:

        def read() -> None:
            try:
                while part := sock.recv(65536):
                    got.extend(part)
                    if flood.survives and frame(PING, ACK, 0, PROBE) in got:
                        return
                outcome.ended = time.monotonic()
            except TimeoutError:
                pass
            except OSError:
                outcome.ended = time.monotonic()
            finally:
                over.set()

        reader = threading.Thread(target=read, daemon=True)
        if flood.reads:
            reader.start()
        try:
            sock.sendall(h2(flood.first))
            while outcome.sent < flood.frames:
                sock.sendall(flood.unit(outcome.sent))
                outcome.sent += flood.batch
            sock.sendall(frame(PING, 0, 0, PROBE))
        except OSError:
            pass  # cut off
        last = time.monotonic()
        if not flood.reads:
            reader.start()
        over.wait(seconds)
    reader.join(1)
    outcome.answer = bytes(got)
    outcome.ended = None if outcome.ended is None else outcome.ended - last
    frames_received = frames(outcome.answer)
    outcome.kinds = Counter(kind for kind, *_ in frames_received)
    outcome.goaways = [
        struct.unpack(">I", payload[4:8])[0] for kind, _, _, payload in frames_received if kind == GOAWAY
    ]
    outcome.alive = any(
        kind == PING and flags & ACK and payload == PROBE for kind, flags, _, payload in frames_received
    )
    return outcome
