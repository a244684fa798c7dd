"""Many changes of the configuration while requests and streams pass: none may fail, none may be cut.

The load is real requests in three protocols, each in a generator that ends at the first answer that is not right, and
streams of tokens that live through many changes. The changes are those that a console makes: keys come and go,
services come and go and become ready and not, and the measured service gets a second replica and loses it again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from bench.measure import Target, Timing, plan_of
from bench.parts import streams
from bench.targets import requests, servers
from bench.targets.null import Null, null
from bench.targets.population import TEAM, Population, populate, triton_service, vllm_service
from bench.targets.requests import CHAT_SERVICE, GRPC, REST, Call
from console.first_run import example
from console.home import CHECKOUT
from services.gateway import keys
from services.gateway.envoy import names
from services.gateway.snapshot import Endpoint, GatewayKey, Snapshot

SERVICES, KEYS = 100, 1_000
STREAMS = 16
CONNECTIONS = 2
CALLS = (REST, GRPC)
_FINE = (None, "", "-", "DC")
"""Flags of a request that came to its end, or whose caller went away."""


@dataclass(frozen=True)
class Changes:
    changes: int
    seconds: float
    failed: list[str]
    """What the generators said that ended early."""
    requests: dict[str, int]
    p99_ms: dict[str, float]
    streams: dict[str, Any]
    refused: list[dict[str, Any]]
    """Lines of the gateway's access log for failed requests, with their reasons."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def whole(self) -> bool:
        return not self.failed and self.streams["cut"] == 0 and self.streams["lost"] == 0


def measure_changes(directory: Path, *, changes: int) -> Changes:
    with null(directory / "one") as one, null(directory / "other") as other:
        return while_changing(directory, one, other, changes=changes)


def while_changing(directory: Path, one: Null, other: Null, *, changes: int, at_once: int = STREAMS) -> Changes:
    """What came of requests and of so many streams at once while so much changed. `one` and `other` answer requests."""
    with ExitStack() as stack:
        paced, _ = stack.enter_context(streams.paced(directory))
        people = population(one, paced)
        door = stack.enter_context(servers.gateway(directory / "changes", people.snapshot))
        for call in (REST, requests.CHAT):
            servers.wait_for_service(door.port, call, people.key)
        stop, since = directory / "stop", datetime.now(UTC)
        loads = {call.name: stack.enter_context(load(call, door.port, people.key, stop)) for call in CALLS}
        flowing = stack.enter_context(stream_load(door.port, people.key, stop, at_once))
        began = time.perf_counter()
        for number in range(changes):
            servers.publish(changed(people, number, other), door.directory)
        took = time.perf_counter() - began
        stop.touch()
        outputs = {name: finished(process, patience=60) for name, process in loads.items()}
        streamed, failure = finished(flowing, patience=120)
        refused = not_well(door.directory / names.ACCESS_LOG, since)
    failed = [text for _, text in outputs.values() if text] + ([failure] if failure else [])
    phases = {name: [json.loads(line) for line in out.splitlines()] for name, (out, _) in outputs.items()}
    return Changes(
        changes,
        took,
        failed,
        {name: sum(phase["requests"] for phase in each) for name, each in phases.items()},
        {name: max((phase["p99_ms"] for phase in each), default=0.0) for name, each in phases.items()},
        json.loads(streamed)["targets"]["gateway"] if streamed else {"cut": -1, "lost": -1, "streams": 0, "frames": 0},
        refused,
    )


def population(backend: Null, paced: Endpoint) -> Population:
    named = [triton_service(example.NAME, backend.endpoint), vllm_service(CHAT_SERVICE, paced)]
    return populate(named, services=SERVICES, keys_=KEYS, replica=backend.endpoint)


def changed(people: Population, number: int, other: Null) -> Snapshot:
    """The state after change `number`: each differs from the one before."""
    step, base = number % 6, people.snapshot
    if step == 0:
        fresh = keys.generate()
        return people.with_key(GatewayKey(fresh.id, fresh.digest, TEAM))
    if step == 1:
        return base  # the key is revoked, or the service is gone
    if step == 2:
        return people.with_service(triton_service(f"new-{number}", other.endpoint))
    if step == 3:
        waiting = replace(base.services[-1], ready=False, endpoints=())
        return replace(base, services=(*base.services[:-1], waiting))
    if step == 4:
        more = replace(base.services[0], endpoints=(*base.services[0].endpoints, other.endpoint), revision=number)
        return replace(base, services=(more, *base.services[1:]))
    text = replace(base.services[1], max_payload_bytes=1 << 20, revision=number)
    return replace(base, services=(base.services[0], text, *base.services[2:]))


@contextmanager
def load(call: Call, port: int, key: str, stop: Path) -> Iterator[subprocess.Popen[str]]:
    """A generator that goes on in short phases until `stop` is there."""
    target = Target("gateway", servers.HOST, port, key)
    plan = plan_of(call, CONNECTIONS, [target], Timing(rounds=1_000_000, seconds=1.0, warmup=0.1), {})
    with generator("bench.generators.load", {**plan, "stop": str(stop)}) as running:
        yield running


@contextmanager
def stream_load(port: int, key: str, stop: Path, at_once: int) -> Iterator[subprocess.Popen[str]]:
    target = streams.target("gateway", port, key, at_once)
    with generator("bench.generators.sse_load", {**streams.plan([target], 3600, {}), "stop": str(stop)}) as running:
        yield running


@contextmanager
def generator(module: str, plan: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    # Output goes to files: nobody reads it before the end, and a pipe would fill up.
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        json.dump(plan, given)
        given.seek(0)
        running = subprocess.Popen(
            [sys.executable, "-m", module], cwd=CHECKOUT, stdin=given, stdout=out, stderr=err, text=True
        )
        running.stdout, running.stderr = out, err
        try:
            yield running
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait(10)


def finished(running: subprocess.Popen[str], patience: float) -> tuple[str, str]:
    """What it wrote, and why it ended early ("" when it did not)."""
    code = running.wait(patience)
    assert running.stdout is not None and running.stderr is not None
    running.stdout.seek(0)
    running.stderr.seek(0)
    return running.stdout.read(), running.stderr.read().strip()[-500:] if code else ""


def not_well(log: Path, since: datetime, most: int = 50) -> list[dict[str, Any]]:
    """Lines of the access log of requests that began since then and failed; at most so many, the first ones."""
    began = since.strftime("%Y-%m-%dT%H:%M:%S")
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return list(islice((line for line in lines if line["time"] >= began and _failed(line)), most))


def _failed(line: dict[str, Any]) -> bool:
    """The status of gRPC is null, or a dash, where there is none."""
    grpc = str(line["grpc_status"]) not in ("0", "-", "None")
    return grpc or line["status"] >= 400 or line["flags"] not in _FINE


def table(result: Changes) -> str:
    lines = [
        f"{result.changes:,} changes in {result.seconds:.0f} s, {SERVICES} services and {KEYS:,} keys.",
        "",
        "| meanwhile | done | failed or cut | worst second's p99 ms |",
        "|---|--:|--:|--:|",
    ]
    lines += [
        f"| {name} requests | {count:,} | {len(result.failed)} | {result.p99_ms[name]:.1f} |"
        for name, count in result.requests.items()
    ]
    text = result.streams
    lines.append(
        f"| streams ({text['frames']:,} frames) | {text['streams']:,} | {text['cut']}, {text['lost']} lost | |"
    )
    return "\n".join(lines)


def verdict(result: Changes) -> str:
    word = (
        "no request failed, no stream was cut" if result.whole else f"FAILED: {'; '.join(result.failed) or 'streams'}"
    )
    details = "" if result.whole else "".join(f" {json.dumps(line)}" for line in result.refused[:3])
    return f"{result.changes:,} changes under load: {word}.{details}"
