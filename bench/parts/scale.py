"""One service and ten keys against thousands of both: what a request costs, and how soon a change counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.measure import Measured, Target, Timing, measure
from bench.parts.effects import Effects, time_to
from bench.targets import requests, servers
from bench.targets.null import Null, null, null_socket
from bench.targets.population import TEAM, Population, populate, triton_service, vllm_service
from bench.targets.requests import CHAT, GRPC, REST, Call
from bench.targets.servers import Gateway
from console.first_run import example
from console.home import CHECKOUT
from services.gateway import keys
from services.gateway.snapshot import GatewayKey, GatewayService, Snapshot

SMALL, LARGE = (1, 10), (2_000, 10_000)
QUICK_LARGE = (50, 200)
"""Services, keys."""
WANTED, WANTED_SECONDS = 0.9, 1.0
CALLS = (REST, GRPC, CHAT)
CONNECTIONS = 8
CHANGES = 10
REST_SECONDS = 2.0
"""Between changes: Envoy takes them one after the other, and each is to be timed alone."""


@dataclass(frozen=True)
class Scale:
    large: tuple[int, int]
    rows: list[Measured]
    """Targets "small" and "large"."""
    memory_mib: Mapping[str, float]
    idle_cores: float
    """What the large gateway uses without a request: it looks after all replicas of all services."""
    effects: Effects
    """At `deliver`."""
    console: Effects
    """At the console's own actions."""

    def to_json(self) -> dict[str, Any]:
        return {
            "large": self.large,
            "rows": [row.to_json() for row in self.rows],
            "memory_mib": dict(self.memory_mib),
            "idle_cores": self.idle_cores,
            "effects": self.effects.to_json(),
            "console": self.console.to_json(),
        }


def measure_scale(directory: Path, timing: Timing, *, large: tuple[int, int], changes: int) -> Scale:
    with ExitStack() as stack:
        backend = stack.enter_context(null(directory))
        crowd = populate(both(backend), services=large[0], keys_=large[1], replica=backend.endpoint)
        big = stack.enter_context(servers.gateway(directory / "large", crowd.snapshot))
        ready(big, crowd)
        idle = idle_cores(big.pid)
        effects = measure_effects(big, crowd, backend, changes)
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
    console = through_the_console(directory, large=large, changes=changes)
    return Scale(large, rows, memory, idle, effects, console)


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


def measure_effects(door: Gateway, people: Population, backend: Null, changes: int) -> Effects:
    """Through what the console calls. Every change is made `changes` times, on a gateway at rest."""
    effects = Effects()

    def change(kind: str, snapshot: Snapshot, call: Call, key: str, status: int) -> None:
        publish = partial(servers.publish, snapshot, door.directory)
        effects.add(kind, *time_to(publish, lambda: servers.status_of(door.port, call, key) == status))

    for number in range(changes):
        fresh = keys.generate()
        change("a key is made", people.with_key(GatewayKey(fresh.id, fresh.digest, TEAM)), REST, fresh.key, 200)
        change("a key is revoked", people.snapshot, REST, fresh.key, 401)
        added = triton_service(f"new-{number}", backend.endpoint)
        call = replace(REST, path=f"/v2/models/{added.name}/infer")
        change("a service is made", people.with_service(added), call, people.key, 200)
        change("a service is removed", people.snapshot, call, people.key, 404)
        time.sleep(REST_SECONDS)
    return effects


def through_the_console(directory: Path, *, large: tuple[int, int], changes: int) -> Effects:
    """The same at the console's own actions, with a database that holds that many rows (console_rows.py)."""
    services, many = large
    home, given = directory / "console", directory / "plan.json"
    home.mkdir()
    with null_socket(directory) as backend:
        given.write_text(json.dumps({"services": services, "keys": many, "changes": changes, "backend": str(backend)}))
        env = {
            **os.environ,
            "CONSOLE_HOME": str(home),
            "GATEWAY_PORT": str(servers.free_ports(1)[0]),
            "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        with given.open() as stdin:
            done = subprocess.run(
                [sys.executable, "-m", "bench.parts.console_rows"],
                cwd=CHECKOUT,
                env=env,
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=600 + 60 * changes,
                check=False,
            )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-3000:])
    return Effects(**json.loads(done.stdout.splitlines()[-1]))


def _mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / (1 << 20)


def table(result: Scale) -> str:
    services, keys_ = result.large
    small, large = "1 service, 10 keys", f"{services:,}, {keys_:,} keys"
    lines = [
        f"| {CONNECTIONS} connections | {small}: rps | CPU µs | {large}: rps | CPU µs | ratio (range) | rounds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result.rows:
        few, many, ratio = row.summaries["small"], row.summaries["large"], row.ratio("large", "small")
        lines.append(
            f"| {row.call} | {few.rps.median:,.0f} | {few.cpu_us['small']:.0f} | {many.rps.median:,.0f}"
            f" | {many.cpu_us['large']:.0f} | **{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})"
            f" | {len(row.counted)} of {row.rounds}{'' if row.quiet else ', NOISY'} |"
        )
    lines += ["", result.effects.table("A change at this size, when published")]
    lines += ["", result.console.table("The same through the console's actions"), ""]
    memory = f"Memory of the gateway: {result.memory_mib['small']:.0f} MiB, large {result.memory_mib['large']:.0f} MiB."
    idle = f"Without any request the large one keeps {result.idle_cores:.2f} cores busy with its probes."
    lines.append(f"{memory} {idle}")
    return "\n".join(lines)


def verdict(result: Scale) -> Sequence[str]:
    lines = []
    for row in result.rows:
        ratio = row.ratio("large", "small").median
        word = "as wanted" if ratio >= WANTED else "TOO LITTLE"
        lines.append(
            f"{row.call} at {result.large[0]:,} services: {ratio:.2f} of one service ({word}; wanted {WANTED})."
        )
    lines += result.effects.verdict("Published", WANTED_SECONDS)
    lines += result.console.verdict("Through the console", WANTED_SECONDS)
    return lines
