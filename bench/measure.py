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

QUIET_CORES = 0.3
"""A round counts when the rest of the machine kept no more than this busy during both of its phases."""
FEWEST_ROUNDS = 3
"""With fewer quiet rounds than this all rounds count: then the figures say as much of the rest as of the gateway."""


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
            Spread.of([busy_elsewhere(phase) for phase in phases]),
        )


def busy_elsewhere(phase: Mapping[str, Any]) -> float:
    return max(0.0, float(phase["cpu_s"]["elsewhere"])) / float(phase["seconds"])


@dataclass(frozen=True)
class Comparison:
    """`ratio` is of requests per second, `added_ms` of the p50, both per round: through the gateway to direct.

    All but `phases` and `rounds` is of the rounds that count.
    """

    protocol: str
    connections: int
    rounds: int
    counted: int
    quiet: bool
    """False: all rounds count, because too few were quiet."""
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
    rounds = list(zip(one, other, strict=True))
    quiet = [pair for pair in rounds if max(busy_elsewhere(phase) for phase in pair) <= QUIET_CORES]
    pairs = quiet if len(quiet) >= FEWEST_ROUNDS else rounds
    return Comparison(
        protocol,
        connections,
        len(rounds),
        len(pairs),
        pairs is quiet,
        Summary.of([straight for straight, _ in pairs]),
        Summary.of([through for _, through in pairs]),
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
