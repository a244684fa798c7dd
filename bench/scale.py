"""One service and ten keys against thousands of both: what a request costs, and how soon a change counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from bench import requests, servers
from bench.measure import Measured, Spread, Target, Timing, measure
from bench.null import Null, null
from bench.population import TEAM, Population, populate, triton_service, vllm_service
from bench.requests import CHAT, GRPC, REST, Call
from bench.servers import Gateway
from console.stack import example
from services.gateway import keys
from services.gateway.binary import find_envoy
from services.gateway.publish import deliver
from services.gateway.snapshot import GatewayKey, GatewayService, Snapshot

SMALL, LARGE = (1, 10), (2_000, 10_000)
QUICK_LARGE = (50, 200)
"""Services, keys."""
WANTED, WANTED_SECONDS = 0.9, 1.0
CALLS = (REST, GRPC, CHAT)
CONNECTIONS = 8
CHANGES = 10


@dataclass(frozen=True)
class Scale:
    large: tuple[int, int]
    rows: list[Measured]
    """Targets "small" and "large"."""
    memory_mib: Mapping[str, float]
    idle_cores: float
    """What the large gateway uses without a request: it looks after all replicas of all services."""
    effects: Mapping[str, Spread]
    """Kind of change -> seconds from the call that publishes it to the first request that meets it."""
    delivered: Mapping[str, Spread]
    """Of these the seconds that the publishing call itself took."""

    def to_json(self) -> dict[str, Any]:
        return {
            "large": self.large, "rows": [row.to_json() for row in self.rows], "memory_mib": dict(self.memory_mib),
            "idle_cores": self.idle_cores, "effects": {kind: vars(each) for kind, each in self.effects.items()},
            "delivered": {kind: vars(each) for kind, each in self.delivered.items()},
        }  # fmt: skip


def measure_scale(directory: Path, timing: Timing, *, large: tuple[int, int], changes: int) -> Scale:
    with ExitStack() as stack:
        backend = stack.enter_context(null(directory))
        crowd = populate(both(backend), services=large[0], keys_=large[1], replica=backend.endpoint)
        big = stack.enter_context(servers.gateway(directory / "large", crowd.snapshot))
        ready(big, crowd)
        idle = idle_cores(big.pid)
        effects, delivered = measure_effects(big, crowd, backend, changes)
        memory = {"large": _mib(big.pid)}
        rows = []
        for call in CALLS:
            few = populate([one(call, backend)], services=SMALL[0], keys_=SMALL[1], replica=backend.endpoint)
            with servers.gateway(directory / f"small-{call.name}", few.snapshot) as small:
                servers.wait_for_service(small.port, CHAT if call is CHAT else REST, few.key)
                targets = [
                    Target("small", servers.HOST, small.port, few.key, frozen=[small.pid]),
                    Target("large", servers.HOST, big.port, crowd.key, frozen=[big.pid]),
                ]
                pids = {"small": [small.pid], "large": [big.pid], "null": backend.pids}
                rows.append(measure(call, CONNECTIONS, targets, timing, pids))
                memory["small"] = _mib(small.pid)
    return Scale(large, rows, memory, idle, effects, delivered)


def both(backend: Null) -> list[GatewayService]:
    return [one(REST, backend), one(CHAT, backend)]


def one(call: Call, backend: Null) -> GatewayService:
    """The service that is measured with this call."""
    if call is CHAT:
        return vllm_service(requests.CHAT_SERVICE, backend.endpoint)
    return triton_service(example.NAME, backend.endpoint)


def ready(door: Gateway, people: Population) -> None:
    for call in (REST, CHAT):
        servers.wait_for_service(door.port, call, people.key, seconds=120)


def idle_cores(pid: int, seconds: float = 6.0) -> float:
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.perf_counter()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.perf_counter() - began)


def measure_effects(
    door: Gateway, people: Population, backend: Null, changes: int
) -> tuple[dict[str, Spread], dict[str, Spread]]:
    """Through `deliver`, as the console publishes. Every change is made `changes` times, each with a key of its own."""
    took: dict[str, list[float]] = {"a key is made": [], "a key is revoked": [], "a service is made": []}
    called: dict[str, list[float]] = {kind: [] for kind in took}

    def change(kind: str, snapshot: Snapshot, call: Call, key: str, wanted: Callable[[int], bool]) -> None:
        seconds, within = time_to(door, snapshot, call, key, wanted)
        took[kind].append(seconds)
        called[kind].append(within)

    for number in range(changes):
        fresh = keys.generate()
        row = GatewayKey(fresh.id, fresh.digest, TEAM)
        change("a key is made", people.with_key(row), REST, fresh.key, lambda status: status == 200)
        change("a key is revoked", people.snapshot, REST, fresh.key, lambda status: status == 401)
        added = triton_service(f"new-{number}", backend.endpoint)
        call = replace(REST, path=f"/v2/models/{added.name}/infer")
        change("a service is made", people.with_service(added), call, people.key, lambda status: status == 200)
        deliver(lambda: people.snapshot, door.directory, find_envoy())
    return ({kind: Spread.of(each) for kind, each in made.items()} for made in (took, called))  # type: ignore[return-value]


def time_to(
    door: Gateway, snapshot: Snapshot, call: Call, key: str, wanted: Callable[[int], bool], patience: float = 60.0
) -> tuple[float, float]:
    """Seconds from the publishing call to the first request answered as wanted, and those of the call itself."""
    found: list[float] = []
    began = time.perf_counter()

    def watch() -> None:
        while time.perf_counter() - began < patience:
            if wanted(servers.status_of(door.port, call, key)):
                found.append(time.perf_counter() - began)
                return
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    deliver(lambda: snapshot, door.directory, find_envoy())
    within = time.perf_counter() - began
    watcher.join()
    if not found:
        raise RuntimeError(f"A change did not count within {patience:g} s.")
    return found[0], within


def _mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / (1 << 20)


def table(made: Scale) -> str:
    services, keys_ = made.large
    small, large = "1 service, 10 keys", f"{services:,} services, {keys_:,} keys"
    lines = [
        f"| {CONNECTIONS} connections | {small}: rps | CPU µs | {large}: rps | CPU µs | ratio (range) | rounds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in made.rows:
        few, many, ratio = row.summaries["small"], row.summaries["large"], row.ratio("large", "small")
        lines.append(
            f"| {row.call} | {few.rps.median:,.0f} | {few.cpu_us['small']:.0f} | {many.rps.median:,.0f}"
            f" | {many.cpu_us['large']:.0f} | **{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})"
            f" | {len(row.counted)} of {row.rounds}{'' if row.quiet else ', NOISY'} |"
        )
    lines += [
        "",
        "| A change at this size | counts after, s: median (longest) | of which publishing |",
        "|---|--:|--:|",
    ]
    lines += [
        f"| {kind} | {each.median:.2f} ({each.high:.2f}) | {made.delivered[kind].median:.2f} |"
        for kind, each in made.effects.items()
    ]
    memory = f"Memory of the gateway: {made.memory_mib['small']:.0f} MiB, large {made.memory_mib['large']:.0f} MiB."
    idle = f"Without any request the large one keeps {made.idle_cores:.2f} cores busy with its probes."
    lines += ["", f"{memory} {idle}"]
    return "\n".join(lines)


def verdict(made: Scale) -> Sequence[str]:
    said = []
    for row in made.rows:
        ratio = row.ratio("large", "small").median
        word = "as wanted" if ratio >= WANTED else "TOO LITTLE"
        said.append(f"{row.call} at {made.large[0]:,} services: {ratio:.2f} of one service ({word}; wanted {WANTED}).")
    for kind, each in made.effects.items():
        word = "as wanted" if each.high <= WANTED_SECONDS else "TOO SLOW"
        said.append(f"When {kind}: {each.high:.2f} s at most ({word}; wanted {WANTED_SECONDS:g} s).")
    return said
