"""512 streams of tokens at once through the gateway, beside a few straight to the backend, in the same minute."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.targets import requests, servers
from bench.targets.population import Population, measured, populate
from bench.targets.requests import CHAT, CHAT_SERVICE
from console.home import CHECKOUT
from services.gateway.snapshot import Endpoint

CONTROLS = 64
"""Streams straight to the backend meanwhile: what generator, backend and machine add by themselves."""
FIRST_MS = 5.0
INTERVAL_MS = 100.0
TOKENS = (20, 80)
WANTED_MS = 5.0
WORKERS = 2
"""Threads of the gateway, as with four cores or more, or with GATEWAY_WORKERS=2 on fewer."""
SEED = 7


@dataclass(frozen=True)
class Streams:
    streams: int
    figures: dict[str, Any]

    @property
    def whole(self) -> bool:
        return all(each["cut"] == 0 and each["lost"] == 0 for each in self.figures["targets"].values())

    @property
    def share_ms(self) -> float:
        """p99 of the way of request and first frame through the gateway, less that of those that go straight."""
        gateway, direct = (self.figures["targets"][name]["first"] for name in ("gateway", "direct"))
        return float(gateway["p99_ms"] - direct["p99_ms"])


@contextmanager
def paced(directory: Path) -> Iterator[tuple[Endpoint, int]]:
    """The backend that sends tokens at a pace, and its pid."""
    at = directory / "paced"
    at.mkdir()
    port = servers.free_ports(1)[0]
    plan = {"host": servers.HOST, "port": port, "first_ms": FIRST_MS, "interval_ms": INTERVAL_MS}
    ready = servers.answers(f"http://{servers.HOST}:{port}/health")
    command = (sys.executable, "-m", "bench.targets.sse_server")
    with servers.process(command, at, ready, cwd=CHECKOUT, given=json.dumps(plan)) as running:
        yield servers.endpoint(port, port), running.pid


def body() -> str:
    """A streamed chat; %d is the number of tokens."""
    payload = {
        "model": CHAT_SERVICE,
        "messages": [{"role": "user", "content": "Count."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 0,
    }
    return json.dumps(payload).replace('"max_tokens": 0', '"max_tokens": %d')


def target(name: str, port: int, key: str | None, streams: int) -> dict[str, Any]:
    return {
        "name": name,
        "host": servers.HOST,
        "port": port,
        "path": CHAT.path,
        "streams": streams,
        "headers": requests.headers(CHAT, key),
    }


def plan(targets: list[dict[str, Any]], seconds: float, pids: dict[str, list[int]]) -> dict[str, Any]:
    return {
        "targets": targets,
        "body": body(),
        "seconds": seconds,
        "tokens": TOKENS,
        "interval_ms": INTERVAL_MS,
        "pids": pids,
        "seed": SEED,
    }


def measure_streams(directory: Path, *, streams: int, seconds: float) -> Streams:
    with ExitStack() as stack:
        backend, pid = stack.enter_context(paced(directory))
        people = people_of(backend)
        door = stack.enter_context(servers.gateway(directory / "streams", people.snapshot, workers=WORKERS))
        servers.wait_for_service(door.port, CHAT, people.key)
        targets = [
            target("gateway", door.port, people.key, streams),
            target("direct", backend.http.port, None, max(1, streams * CONTROLS // 512)),
        ]
        given = plan(targets, seconds, {"gateway": [door.pid], "backend": [pid]})
        done = subprocess.run(
            [sys.executable, "-m", "bench.generators.sse_load"],
            cwd=CHECKOUT,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=seconds + 120,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return Streams(streams, json.loads(done.stdout))


def people_of(backend: Endpoint) -> Population:
    return populate(measured(backend, backend), services=2, keys_=100, replica=backend)


def table(result: Streams) -> str:
    lines = [
        "| | at once | streams | frames | cut | lost | first frame p50 / p99 / max ms | later p50 / p99 / max ms |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    counts = {"gateway": result.streams, "direct": max(1, result.streams * CONTROLS // 512)}
    for name, each in result.figures["targets"].items():
        ways = " | ".join(_way(each[part]) for part in ("first", "later"))
        numbers = f"{each['streams']:,} | {each['frames']:,} | {each['cut']} | {each['lost']}"
        lines.append(f"| {name} | {counts[name]} | {numbers} | {ways} |")
    return "\n".join(lines)


def _way(spread: dict[str, float]) -> str:
    if not spread.get("count"):
        return "none"
    return " / ".join(f"{spread[part]:.2f}" for part in ("p50_ms", "p99_ms", "max_ms"))


def verdict(result: Streams) -> str:
    frames = "no frame lost" if result.whole else "FRAMES LOST"
    word = "as wanted" if result.share_ms <= WANTED_MS else "TOO MUCH"
    return (
        f"{result.streams} streams, {WORKERS} workers: {frames}; the gateway's share of the time to the first token,"
        f" p99: {result.share_ms:.2f} ms ({word}; wanted {WANTED_MS:g})."
    )
