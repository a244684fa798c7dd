"""The load generator, a process of its own: `python -m bench.generators.load`, plan on stdin, one JSON line a phase.

A closed loop: each connection sends its next request when its answer has come. One thread over epoll. Phases on the
targets alternate (A B, B A, A B, ...), so what else happens on the machine meets all of them alike. Every answer is
compared, byte by byte, with the target's first (unless they may differ: not `repeats`); what that says is for the
caller to check. Standard library and psutil.

plan: {"protocol", "body" (base64), "repeats", "connections", "rounds", "seconds", "warmup", "pids" {name: [pid]},
       "targets" [{"name", "host", "port", "path", "headers" {}, "frozen" [pid], "settle" s}]}
       and "stop", a file after whose appearance no more rounds begin.
       The processes in "frozen" are stopped (SIGSTOP) while another target has its turn, and have "settle" seconds
       when they go on, to do what they put off.
line: {"target", "round" (-1 is the warm-up), "requests", "seconds", "rps", "p50_ms", "p99_ms", "max_ms",
       "answer" (base64), "cpu_s" {name: CPU seconds, "generator", "elsewhere"}}
"""

from __future__ import annotations

import base64
import gc
import json
import os
import select
import signal
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from bench.generators.wire import PROTOCOLS, Connection, WireError

PATIENCE = 30.0
"""Seconds without any answer after which the run fails."""


def drive(
    connections: Sequence[Connection], seconds: float, expected: bytes | None, repeats: bool = True
) -> tuple[array[int], bytes]:
    """Latencies in nanoseconds, in order of completion, and the answer that all of them had, or the last of them."""
    clock = time.perf_counter_ns
    by_descriptor = {connection.sock.fileno(): connection for connection in connections}
    latencies = array("q")
    with select.epoll() as poll:
        for descriptor in by_descriptor:
            poll.register(descriptor, select.EPOLLIN)
        deadline = clock() + int(seconds * 1e9)
        for connection in connections:
            connection.began = clock()
            connection.start()
        busy = len(connections)
        while busy:
            events = poll.poll(PATIENCE)
            if not events:
                raise WireError(f"No answer in {PATIENCE:g} s.")
            for descriptor, _ in events:
                connection = by_descriptor[descriptor]
                data = connection.sock.recv(65_536)
                if not data:
                    raise WireError("The server closed a connection.")
                answer = connection.feed(data)
                if answer is None:
                    continue
                now = clock()
                latencies.append(now - connection.began)
                if answer != expected:
                    if repeats and expected is not None:
                        raise WireError(f"An answer differs from the first: {answer[:200]!r}, not {expected[:200]!r}")
                    expected = answer
                if now < deadline:
                    connection.began = clock()
                    connection.start()
                else:
                    busy -= 1
    return latencies, expected or b""


def percentile(ordered: Sequence[int], share: float) -> float:
    """Nearest rank, in milliseconds."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6


def phase(
    connections: Sequence[Connection], seconds: float, expected: bytes | None, processes: CpuTimes, repeats: bool
) -> Any:
    before, began = processes.read(), time.perf_counter()
    latencies, answer = drive(connections, seconds, expected, repeats)
    took, after = time.perf_counter() - began, processes.read()
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "seconds": took,
        "rps": len(ordered) / took,
        "p50_ms": percentile(ordered, 0.5),
        "p99_ms": percentile(ordered, 0.99),
        "max_ms": ordered[-1] / 1e6,
        "answer": base64.b64encode(answer).decode(),
        "cpu_s": {name: after[name] - before[name] for name in after},
    }


class CpuTimes:
    """CPU seconds so far of the named processes, of this one, and of everything else on the machine."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self.pids = {name: list(each) for name, each in pids.items()}
        # One may be named twice: the gateway is part of what V1 costs, and all of what V2 does.
        self.processes = {pid: psutil.Process(pid) for each in self.pids.values() for pid in each}

    def read(self) -> dict[str, float]:
        used = {pid: self._used(process) for pid, process in self.processes.items()}
        generator = time.process_time()
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        named = {name: sum(used[pid] for pid in each) for name, each in self.pids.items()}
        return {**named, "generator": generator, "elsewhere": busy - sum(used.values()) - generator}

    @staticmethod
    def _used(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)


class Frozen:
    """Stops the processes of all targets but the one whose turn it is."""

    def __init__(self, targets: Sequence[Mapping[str, Any]]) -> None:
        self.pids = {target["name"]: list(target["frozen"]) for target in targets}
        self.settle = {target["name"]: target["settle"] for target in targets}

    def thaw(self, name: str) -> None:
        for other, each in self.pids.items():
            for pid in each:
                os.kill(pid, signal.SIGCONT if other == name else signal.SIGSTOP)
        if self.pids[name]:
            time.sleep(self.settle[name])

    def thaw_all(self) -> None:
        for pid in (pid for each in self.pids.values() for pid in each):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def run(plan: Mapping[str, Any]) -> None:
    body = base64.b64decode(plan["body"])
    kind = PROTOCOLS[plan["protocol"]]
    targets: dict[str, list[Connection]] = {
        target["name"]: [
            kind(target["host"], target["port"], target["path"], target["headers"], body)
            for _ in range(plan["connections"])
        ]
        for target in plan["targets"]
    }
    processes = CpuTimes(plan["pids"])
    frozen = Frozen(plan["targets"])
    gc.disable()
    try:
        rounds(plan, targets, processes, frozen)
    finally:
        frozen.thaw_all()


def rounds(
    plan: Mapping[str, Any], targets: Mapping[str, list[Connection]], processes: CpuTimes, frozen: Frozen
) -> None:
    expected: dict[str, bytes] = {}
    stop = Path(plan.get("stop") or os.devnull)
    for number in range(-1, plan["rounds"]):
        if stop.is_file():
            break
        order = list(targets)[:: 1 if number % 2 == 0 else -1]
        for name in order:
            frozen.thaw(name)
            seconds = plan["seconds" if number >= 0 else "warmup"]
            result = phase(targets[name], seconds, expected.get(name), processes, plan["repeats"])
            expected[name] = base64.b64decode(result["answer"])
            sys.stdout.write(json.dumps({"target": name, "round": number, **result}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    try:
        run(json.load(sys.stdin))
    except WireError as failure:
        sys.exit(f"bench.generators.load: {failure}")
