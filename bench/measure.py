"""Runs the load generator against two targets in turn and sums up its phases. Starts no server."""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import requests
from console.home import CHECKOUT


@dataclass(frozen=True)
class Timing:
    rounds: int
    seconds: float
    """Of each phase: a round has one for each target."""
    warmup: float


@dataclass(frozen=True)
class Target:
    name: str
    host: str
    ports: Mapping[str, int]
    """Protocol -> port."""
    key: str | None = None
    content_type: str | None = None
    """Instead of the protocol's own."""


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Summary:
    """One target over all rounds: the median, lowest and highest of the rounds."""

    requests: int
    rps: Spread
    p50_ms: Spread
    p99_ms: Spread
    cpu_us: Mapping[str, float]
    """Process -> CPU microseconds a request, over all rounds."""
    elsewhere: Spread
    """Cores that the rest of the machine kept busy meanwhile."""

    @classmethod
    def of(cls, phases: Sequence[Mapping[str, Any]]) -> Summary:
        total = sum(phase["requests"] for phase in phases)
        names = [name for name in phases[0]["cpu_s"] if name != "elsewhere"]
        rps, p50, p99 = (Spread.of([phase[field] for phase in phases]) for field in ("rps", "p50_ms", "p99_ms"))
        return cls(
            total,
            rps,
            p50,
            p99,
            {name: sum(phase["cpu_s"][name] for phase in phases) / total * 1e6 for name in names},
            Spread.of([max(0.0, phase["cpu_s"]["elsewhere"]) / phase["seconds"] for phase in phases]),
        )


@dataclass(frozen=True)
class Comparison:
    """`ratio` is of requests per second, `added_ms` of the p50, both per round: through the gateway to direct."""

    protocol: str
    connections: int
    direct: Summary
    gateway: Summary
    ratio: Spread
    added_ms: Spread
    phases: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class WrongAnswer(Exception):
    """A server answered, but not with the digit."""


def compare(
    protocol: str, connections: int, direct: Target, gateway: Target, timing: Timing, pids: Mapping[str, Sequence[int]]
) -> Comparison:
    """Raises WrongAnswer, or RuntimeError when the generator gives up."""
    phases = generate(protocol, connections, [direct, gateway], timing, pids)
    one, other = ([phase for phase in phases if phase["target"] == target.name] for target in (direct, gateway))
    pairs = list(zip(one, other, strict=True))
    return Comparison(
        protocol,
        connections,
        Summary.of(one),
        Summary.of(other),
        Spread.of([through["rps"] / straight["rps"] for straight, through in pairs]),
        Spread.of([through["p50_ms"] - straight["p50_ms"] for straight, through in pairs]),
        phases,
    )


def generate(
    protocol: str, connections: int, targets: Sequence[Target], timing: Timing, pids: Mapping[str, Sequence[int]]
) -> list[dict[str, Any]]:
    """The phases of one run of the generator without the warm-up, all answers checked, in order of rounds."""
    plan = {
        "protocol": protocol, "path": requests.PATHS[protocol],
        "body": base64.b64encode(requests.body(protocol)).decode(),
        "connections": connections, **asdict(timing), "pids": pids,
        "targets": [
            {"name": target.name, "host": target.host, "port": target.ports[protocol],
             "headers": requests.headers(protocol, target.key, target.content_type)}
            for target in targets
        ],
    }  # fmt: skip
    # The plan holds a key, so it goes in by stdin, where no list of processes shows it.
    patience = 60 + 2 * len(targets) * (timing.warmup + timing.rounds * timing.seconds)
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], cwd=CHECKOUT, input=json.dumps(plan), capture_output=True, text=True,
        timeout=patience, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-2000:])
    phases: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    for phase in phases:
        # The generator has seen to it that all answers of a run are the same bytes.
        if not requests.says_the_digit(protocol, base64.b64decode(phase.pop("answer"))):
            raise WrongAnswer(f"{phase['target']} did not answer with the digit ({protocol}).")
    return [phase for phase in phases if phase["round"] >= 0]
