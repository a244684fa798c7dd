"""What each door costs, as ratios to the backend without it and to peers, every ratio from one and the same run.

OpenAI and plain proxying are measured in front of a backend that computes nothing (null.py), V1 in front of the real
Triton. The native doors against the real Triton are in command.py, streamed chat against the real vLLM in chat.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Measured, Target, Timing, measure
from bench.peers import proxies, python
from bench.peers.bridge import bridge
from bench.targets import servers
from bench.targets.null import null
from bench.targets.population import measured, populate
from bench.targets.requests import CHAT, REST, V1, Call
from console.home import Home
from services.gateway.snapshot import Endpoint

KEYS = 100
WANTED_LITELLM, WANTED_BRIDGE_MS, WANTED_KSERVE = 50.0, 1.0, 1.0

IN_FRONT, INSIDE = "before the same Triton", "with the model inside"


@dataclass(frozen=True)
class Row:
    measured: Measured
    base: str
    """The target that the ratios are to."""
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {**self.measured.to_json(), "base": self.base, "versions": dict(self.versions)}


def proxying(directory: Path, timing: Timing, connections: Sequence[int]) -> list[Row]:
    """The gateway with one worker beside nginx and HAProxy, and LiteLLM on the OpenAI path."""
    with ExitStack() as stack:
        backend = stack.enter_context(null(directory))
        people = populate(
            measured(backend.endpoint, backend.endpoint), services=2, keys_=KEYS, replica=backend.endpoint
        )
        door = stack.enter_context(servers.gateway(directory / "one-worker", people.snapshot, workers=1))
        for call in (REST, CHAT):
            servers.wait_for_service(door.port, call, people.key)
        port = backend.endpoint.http.port
        targets = [Target("direct", servers.HOST, port), Target("gateway", servers.HOST, door.port, people.key)]
        pids = {"direct": backend.pids, "gateway": [door.pid]}
        versions: dict[str, str] = {}
        if not proxies.missing():
            for name, start in (("nginx", proxies.nginx_proxy), ("HAProxy", proxies.haproxy)):
                peer = stack.enter_context(start(directory, port))
                targets.append(Target(name, servers.HOST, peer.port))
                pids[name], versions[name] = peer.pids, peer.version
        rows = [Row(measure(REST, count, targets, timing, pids), "direct", versions) for count in connections]
        root = python.environment()
        if root is not None:
            peer = stack.enter_context(python.litellm(root, directory, port))
            # It goes on working after it has answered: that shall take its own turn, and nobody else's.
            slow = Target("LiteLLM", servers.HOST, peer.port, peer.key, frozen=peer.pids, settle=0.0)
            with_litellm = [*targets[:2], slow]
            pids = {"direct": backend.pids, "gateway": [door.pid], "LiteLLM": peer.pids}
            peer_versions = {"LiteLLM": peer.version}
            rows += [
                Row(measure(CHAT, count, with_litellm, timing, pids), "direct", peer_versions) for count in connections
            ]
        return rows


def bridging(
    directory: Path, triton: Endpoint, behind: Mapping[str, list[int]], timing: Timing, connections: Sequence[int]
) -> list[Row]:
    """V1 through gateway and bridge to the real Triton, beside V2 through the gateway alone, and KServe's server: once
    in the bridge's place, in front of the same Triton, and once with the model in its own process instead.

    `behind` are the processes of Triton, by name.
    """
    with ExitStack() as stack:
        home = Home(directory / "home", directory / "runtimes")
        people = populate(measured(triton), services=1, keys_=KEYS, replica=triton)
        door = stack.enter_context(servers.gateway(home.gateway, people.snapshot))
        pid = stack.enter_context(bridge(home))
        for call in (REST, V1):
            servers.wait_for_service(door.port, call, people.key)
        v2 = Target("V2 by the gateway", servers.HOST, door.port, people.key)
        pids = {**behind, v2.name: [door.pid], "V1 by the bridge": [door.pid, pid]}
        rows = []
        peers = {}
        if root := python.environment():
            peers[IN_FRONT] = stack.enter_context(python.kserve(root, directory, triton.http.port))
            peers[INSIDE] = stack.enter_context(python.kserve(root, directory))
        versions = {name: f"{peer.version}, {name}" for name, peer in peers.items()}
        for count in connections:
            straight = measure(REST, count, [v2], timing, pids)
            targets = [Target("V1 by the bridge", servers.HOST, door.port, people.key)]
            for name, peer in peers.items():
                targets.append(Target(name, servers.HOST, peer.port))
                pids[name] = peer.pids
            bridged = measure(V1, count, targets, timing, pids)
            rows.append(Row(_beside(straight, bridged), v2.name, versions))
        return rows


def _beside(one: Measured, other: Measured) -> Measured:
    """Rounds of two runs, one after the other, as if each pair were one: their calls differ."""
    pairs = [{**first, **second} for first, second in zip(one.counted, other.counted, strict=False)]
    return Measured(
        other.call, other.connections, other.rounds, one.quiet and other.quiet, pairs, [*one.phases, *other.phases]
    )


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| | conns | through | rps | p50 / p99 ms | CPU µs | rps a core | ratio (range) | p50 adds |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        speeds, noisy = row.measured, "" if row.measured.quiet else ", NOISY"
        for name, each in speeds.summaries.items():
            cpu = each.cpu_us[name]
            ratio = speeds.ratio(name, row.base)
            ratio_text = "" if name == row.base else f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}){noisy}"
            added = "" if name == row.base else f"{speeds.added(name, row.base).median:.2f} ms"
            lines.append(
                f"| {speeds.call} | {speeds.connections} | {row.versions.get(name, name)} | {each.rps.median:,.0f}"
                f" | {each.p50_ms.median:.2f} / {each.p99_ms.median:.2f} | {cpu:.0f} | {1e6 / max(cpu, 0.1):,.0f}"
                f" | {ratio_text} | {added} |"
            )
    return "\n".join(lines)


def verdict(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        speeds, names = row.measured, row.measured.summaries
        where = f"at {speeds.connections} connection{'s' if speeds.connections > 1 else ''}"
        if "LiteLLM" in names:
            times = speeds.ratio("gateway", "LiteLLM").median
            word = "as wanted" if times >= WANTED_LITELLM else "TOO LITTLE"
            lines.append(
                f"OpenAI {where}: {times:.0f} times the requests of LiteLLM ({word}; wanted {WANTED_LITELLM:.0f})."
            )
        if "V1 by the bridge" in names:
            added = speeds.added("V1 by the bridge", row.base).median
            word = "as wanted" if added <= WANTED_BRIDGE_MS else "TOO MUCH"
            if speeds.connections == 1:
                lines.append(f"The bridge adds {added:.2f} ms to p50 {where} ({word}; wanted {WANTED_BRIDGE_MS:g}).")
        for name in (IN_FRONT, INSIDE):
            if name in names:
                times = speeds.ratio("V1 by the bridge", name).median
                word = "as wanted" if times > WANTED_KSERVE else "TOO LITTLE"
                lines.append(f"V1 {where}: {times:.2f} times the requests of KServe's Python server, {name} ({word}).")
    return lines


def calls() -> Sequence[Call]:
    return (REST, CHAT, V1)
