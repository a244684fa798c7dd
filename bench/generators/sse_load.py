"""The stream generator, a process of its own: `python -m bench.generators.sse_load`, JSON on stdin and stdout.

Keeps so many streams of tokens open at once, through each target, for so long: where one ends the next begins. One
thread over epoll. Each frame has its number and the time it was sent (sse_server.py), so a frame that is lost, comes
twice or out of order is seen, and the time on the way is measured frame by frame against the sender's own clock,
not against the reader's expectation.

plan: {"targets" [{"name", "host", "port", "path", "headers" {}, "streams"}], "body" (with %d), "seconds",
       "tokens" [least, most], "interval_ms", "pids" {name: [pid]}, "seed"}, and "stop", a file that ends it sooner
result: {"seconds", "targets" {name: {"streams", "frames", "cut", "lost", "first" {}, "later" {}}}, "cpu_s" {}}
        first: the way of a request to the backend and of the first frame back; later: the way of each later frame;
        both as {"count", "p50_ms", "p90_ms", "p99_ms", "max_ms"}.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import random
import select
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.generators.load import CpuTimes, percentile
from bench.generators.sse_wire import Stream, StreamError

_CONTENT = b'"content":"'


class Tally:
    """What one target did."""

    def __init__(self) -> None:
        self.streams = self.frames = self.cut = self.lost = 0
        self.first, self.later = array("q"), array("q")
        self.failures: list[str] = []

    def to_json(self) -> dict[str, Any]:
        return {
            "streams": self.streams,
            "frames": self.frames,
            "cut": self.cut,
            "lost": self.lost,
            "failures": self.failures,
            "first": spread(self.first),
            "later": spread(self.later),
        }


def spread(nanoseconds: Sequence[int]) -> dict[str, float]:
    ordered = sorted(nanoseconds)
    if not ordered:
        return {"count": 0}
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}
    percentiles = {name: percentile(ordered, share) for name, share in shares.items()}
    return {"count": len(ordered), **percentiles, "max_ms": ordered[-1] / 1e6}


class Slot:
    """A place for one stream at a time."""

    def __init__(self, target: Mapping[str, Any], body: bytes, tally: Tally) -> None:
        self.target, self.body, self.tally = target, body, tally
        self.wire = self.connect()
        self.began = self.expected = self.tokens = 0

    def connect(self) -> Stream:
        target = self.target
        return Stream(target["host"], target["port"], target["path"], target["headers"], self.body)

    def start(self, tokens: int) -> None:
        self.expected, self.tokens = 0, tokens
        self.began = time.monotonic_ns()
        self.wire.start(tokens)

    def take(self, data: bytes, now: int) -> bool:
        """Counts what came. True when the stream is over. Raises StreamError when it is cut."""
        if not data:
            raise StreamError("closed")
        for event in self.wire.feed(data):
            self._count(event, now)
        if not self.wire.done:
            return False
        self.tally.streams += 1
        self.tally.lost += abs(self.tokens - self.expected)
        return True

    def _count(self, event: bytes, now: int) -> None:
        start = event.find(_CONTENT)
        if start < 0:
            return
        start += len(_CONTENT)
        number, sent, came = map(int, event[start : event.index(b'"', start)].split())
        self.tally.frames += 1
        if number != self.expected:
            self.tally.lost += 1
        self.expected = number + 1
        if came:
            self.tally.first.append(now - sent + came - self.began)
        else:
            self.tally.later.append(now - sent)


def run(plan: Mapping[str, Any]) -> dict[str, Any]:
    rng = random.Random(plan["seed"])
    tallies = {target["name"]: Tally() for target in plan["targets"]}
    slots = [
        Slot(target, plan["body"].encode(), tallies[target["name"]])
        for target in plan["targets"]
        for _ in range(target["streams"])
    ]
    processes = CpuTimes(plan["pids"])
    gc.disable()
    before, began = processes.read(), time.perf_counter()
    drive(slots, plan, rng)
    took, after = time.perf_counter() - began, processes.read()
    return {
        "seconds": took,
        "targets": {name: tally.to_json() for name, tally in tallies.items()},
        "cpu_s": {name: after[name] - before[name] for name in after},
    }


def drive(slots: Sequence[Slot], plan: Mapping[str, Any], rng: random.Random) -> None:
    least, most = plan["tokens"]
    clock = time.monotonic_ns
    by_descriptor = {slot.wire.sock.fileno(): slot for slot in slots}
    begin = clock()
    # The first ones begin one after the other over the time of a stream, and all have lengths of their own, so
    # later ones begin at any time: never all at once, and never when the gateway chooses.
    over = most * plan["interval_ms"] * 1e6
    spread_over = min(over, plan["seconds"] * 0.5e9)
    waiting = [(begin + int(rng.random() * spread_over), number) for number in range(len(slots))]
    heapq.heapify(waiting)
    deadline = begin + int(plan["seconds"] * 1e9)
    patience = deadline + int(over + 30e9)
    stop = Path(plan.get("stop") or os.devnull)
    busy, looked = 0, begin
    with select.epoll() as poll:
        for descriptor in by_descriptor:
            poll.register(descriptor, select.EPOLLIN)
        while (busy or waiting) and clock() < patience:
            now = clock()
            if now < deadline and now - looked > 1e9:
                looked = now
                if stop.is_file():
                    deadline, patience = now, now + int(over + 30e9)
            while waiting and waiting[0][0] <= now:
                _, number = heapq.heappop(waiting)
                if now < deadline:
                    slots[number].start(rng.randint(least, most))
                    busy += 1
            wait = max(0.0, (waiting[0][0] - now) / 1e9) if waiting else 1.0
            for descriptor, _ in poll.poll(min(wait, 1.0)):
                slot = by_descriptor[descriptor]
                try:
                    over_now = slot.take(slot.wire.sock.recv(65_536), clock())
                except (StreamError, OSError, ValueError) as failure:
                    over_now = True
                    slot.tally.cut += 1
                    slot.tally.failures = [*slot.tally.failures[:4], str(failure)]
                    del by_descriptor[descriptor]
                    slot.wire.close()
                    slot.wire = slot.connect()
                    by_descriptor[slot.wire.sock.fileno()] = slot
                    poll.register(slot.wire.sock.fileno(), select.EPOLLIN)
                if not over_now:
                    continue
                busy -= 1
                if clock() < deadline:
                    slot.start(rng.randint(least, most))
                    busy += 1
    for slot in slots:
        if slot.expected < slot.tokens and not slot.wire.done and slot.tokens:
            slot.tally.cut += 1
        slot.wire.close()


if __name__ == "__main__":
    try:
        json.dump(run(json.load(sys.stdin)), sys.stdout)
    except StreamError as failure:
        sys.exit(f"bench.generators.sse_load: {failure}")
