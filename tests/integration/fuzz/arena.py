"""What is fuzzed: the real gateway and the real bridge, with the real Triton (`rows`) and null backends (`mnist`,
`llama`) behind them; and `watched`, which says what must hold whatever a client sends.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from console.home import CHECKOUT
from services.clients.unix_http import UnixConnection
from services.gateway import status
from services.gateway.envoy import names
from services.gateway.snapshot import Endpoint, Snapshot
from tests.integration.bridge import models
from tests.servers.gateway.rig import Backend, Gateway, until
from tests.servers.triton import context_for, runtime_root, serve
from tests.services.gateway import snapshots

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
"""Examples for each property; a nightly run takes thousands."""
KEY = "isk_fuzzfuzz0000_0000000000000000000000000000000000000000000"
MIB = 1 << 20
MEMORY_BOUND = {"gateway": 256 * MIB, "bridge": 128 * MIB}
"""By how many bytes a process may grow in one test. Sixteen of the largest bodies in the gateway; a peak counts."""
LEAST_STEADY = 3
"""Requests of the steady client, even around the shortest test."""
STEADY_PATH = "/v2/models/mnist/infer"
SLOWEST, MARGIN = 20, 2.0
"""The steady client's median may grow by the factor, or to so many seconds on a busy machine: it waits for no one."""


@dataclass
class Arena:
    gateway: Gateway
    backend: Backend
    bridge: subprocess.Popen[bytes]
    triton: subprocess.Popen[bytes]
    bridge_log: Path
    triton_http: int
    triton_grpc: int
    """Triton's own ports, past the gateway."""

    @property
    def port(self) -> int:
        return self.gateway.port

    def processes(self) -> dict[str, subprocess.Popen[bytes]]:
        assert self.gateway.process is not None
        return {
            "gateway": self.gateway.process,
            "bridge": self.bridge,
            "triton": self.triton,
            "backend": self.backend.process,
        }

    def rss(self) -> dict[str, int]:
        """Bytes of memory of the processes that have a bound."""
        return {name: psutil.Process(self.processes()[name].pid).memory_info().rss for name in MEMORY_BOUND}

    def counters(self) -> dict[str, int]:
        """Envoy's own, of those that have counted anything, and the requests that each replica got."""
        lines = self._admin("/stats?usedonly&type=Counters").splitlines()
        counters_now = {
            name: int(value) for name, _, value in (line.partition(": ") for line in lines) if value.isdigit()
        }
        return counters_now | {
            f"{each.service}-{each.protocol}": each.requests for each in status.replicas(self.gateway.directory)
        }

    def allocated(self) -> int:
        """Bytes that the gateway holds now. Its process keeps some of what is free again."""
        return int(json.loads(self._admin("/memory"))["allocated"])

    def _admin(self, path: str) -> str:
        connection = UnixConnection(self.gateway.directory / names.ADMIN_SOCKET, 5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def triton_requests(self, before: dict[str, int]) -> int:
        """How many have gone to the real Triton since, by either way; probes are no requests."""
        grown = self.grown(before)
        return sum(grown.get(f"rows-{kind}", 0) for kind in ("http", "grpc"))

    def grown(self, before: dict[str, int]) -> dict[str, int]:
        return {
            name: value - before.get(name, 0) for name, value in self.counters().items() if value > before.get(name, 0)
        }

    def is_well(self) -> bool:
        return self.gateway.call("GET", "/v2/models/mnist", X_API_Key=KEY).status == 200


class OpenArena(ExitStack):
    """Ends whatever was started, in reverse, however far the start came."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def enter_all(self) -> Arena:
        root = self.directory
        context = context_for("rows", models.rows(root / "models"), root / "run", runtime_root())
        triton = self.enter_context(serve(context))
        backend = Backend.start("null")
        self.callback(backend.kill)
        rows = Endpoint(triton.listeners.http, triton.listeners.grpc)
        services = (
            snapshots.ready("mnist", backend.endpoint),
            snapshots.ready("rows", rows),
            snapshots.ready("open", backend.endpoint, public=True),
            snapshots.text("llama", backend.endpoint),
        )
        snapshot = Snapshot(services=services, keys=(snapshots.key(KEY, "*"),))
        gateway = Gateway.prepared(root / "g", snapshot)
        self.callback(gateway.kill)
        bridge = start_bridge(self, root)
        gateway.run()
        arena = Arena(gateway, backend, bridge, triton.process, root / "bridge.log", rows.http.port, rows.grpc.port)
        until(arena.is_well)
        until(lambda: gateway.call("GET", "/v2/models/rows/ready", X_API_Key=KEY).status == 200)
        until(lambda: gateway.call("GET", "/v1/models", X_API_Key=KEY).status == 200)
        return arena


def start_bridge(stack: ExitStack, root: Path) -> subprocess.Popen[bytes]:
    """The real bridge of the gateway in `root`/g, which ends with the stack; it logs into `root`/bridge.log."""
    command = [
        sys.executable,
        "-m",
        "services.bridge",
        "--folder",
        root / "bridge",
        "--table",
        root / "g" / "bridge.json",
        "--egress",
        root / "g" / "egress.sock",
    ]
    with (root / "bridge.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(10)


@dataclass
class Steady:
    """Another client, one request after the other: what it saw. Every other one goes over the same connection."""

    arena: Arena
    seconds: list[float] = field(default_factory=list)
    failed: list[Any] = field(default_factory=list)
    sent: int = 0
    kept: http.client.HTTPConnection | None = None

    def once(self) -> None:
        begun = time.monotonic()
        self.sent += 1
        try:
            answer = self._kept() if self.sent % 2 else self._new()
            if answer[0] != 200:
                self.failed.append(answer)
        except (OSError, http.client.HTTPException) as error:
            self.failed.append(error)
        self.seconds.append(time.monotonic() - begun)

    def _new(self) -> tuple[int, bytes]:
        answer = self.arena.gateway.call("POST", STEADY_PATH, b"{}", X_API_Key=KEY)
        return answer.status, answer.body

    def _kept(self) -> tuple[int, bytes]:
        if self.kept is None:
            self.kept = http.client.HTTPConnection("127.0.0.1", self.arena.port, timeout=20)
            self.kept.connect()
            self.kept.auto_open = 0  # a connection that is ended shows as a failure
        self.kept.request("POST", STEADY_PATH, b"{}", {"X-API-Key": KEY})
        answer = self.kept.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        if self.kept is not None:
            self.kept.close()


def _repeat(ended: threading.Event, every: float, what: Callable[[], None]) -> threading.Thread:
    def loop() -> None:
        while not ended.is_set():
            what()
            ended.wait(every)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    return thread


@contextmanager
def watched(arena: Arena, *, gateway: int = MEMORY_BOUND["gateway"]) -> Iterator[Steady]:
    """While the block runs and after it: every process is the one it was, memory keeps its bound (`gateway` bytes for
    that process), a steady client notices nothing, and the bridge logged no failure of its own.
    """
    calm = Steady(arena)
    for _ in range(6):
        calm.once()
    calm.close()
    bounds = {**MEMORY_BOUND, "gateway": gateway}
    pids = {name: process.pid for name, process in arena.processes().items()}
    before, peak, steady, ended = arena.rss(), arena.rss(), Steady(arena), threading.Event()
    logged = arena.bridge_log.stat().st_size

    def measure() -> None:
        for name, size in arena.rss().items():
            peak[name] = max(peak[name], size)

    threads = [_repeat(ended, 0.05, steady.once), _repeat(ended, 0.02, measure)]
    try:
        yield steady
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
    ends = {name: process.poll() for name, process in arena.processes().items()}
    assert set(ends.values()) == {None}, ends
    assert pids == {name: process.pid for name, process in arena.processes().items()}
    steady.once()
    steady.once()
    steady.close()
    assert calm.failed == steady.failed == []
    assert steady.sent >= LEAST_STEADY
    most = max(MARGIN, SLOWEST * statistics.median(calm.seconds))
    assert statistics.median(steady.seconds) <= most, sorted(steady.seconds)[-5:]
    grown = {name: peak[name] - before[name] for name in peak}
    assert all(grown[name] <= bound for name, bound in bounds.items()), grown
    assert "Traceback" not in arena.bridge_log.read_text()[logged:]
