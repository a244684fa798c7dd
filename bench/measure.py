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

from bench.targets import requests
from bench.targets.requests import Call
from console.home import CHECKOUT

QUIET_CORES = 0.3
"""A round counts when the rest of the machine kept no more than this busy during both of its phases."""
FEWEST_ROUNDS = 3
"""With fewer quiet rounds than this all rounds count: then the figures say as much of the rest as of the gateway."""


@dataclass(frozen=True)
class Timing:
    rounds: int
    seconds: float
    """A round has one phase for each target."""
    warmup: float


@dataclass(frozen=True)
class Target:
    name: str
    host: str
    port: int
    key: str | None = None
    content_type: str | None = None
    """Instead of the call's own."""
    path: str | None = None
    """Instead of the call's own."""
    frozen: Sequence[int] = ()
    """Processes that are stopped while another target is measured: for those that are busy without requests too."""
    settle: float = 3.0
    """Seconds for them to do what they put off meanwhile, such as probes of replicas, before their turn begins."""


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
class Measured:
    """Several targets measured in turn. `summaries` and ratios are of the rounds that count."""

    call: str
    connections: int
    rounds: int
    quiet: bool
    """False: all rounds count, because too few were quiet."""
    counted: Sequence[Mapping[str, Mapping[str, Any]]]
    """For each round: target -> phase."""
    phases: list[dict[str, Any]]

    @property
    def summaries(self) -> dict[str, Summary]:
        return {name: Summary.of([each[name] for each in self.counted]) for name in self.counted[0]}

    def ratio(self, name: str, to: str, field: str = "rps") -> Spread:
        """Ratio of `field` between two targets, in each round."""
        return Spread.of([each[name][field] / each[to][field] for each in self.counted])

    def added(self, name: str, to: str, field: str = "p50_ms") -> Spread:
        return Spread.of([each[name][field] - each[to][field] for each in self.counted])

    def to_json(self) -> dict[str, Any]:
        return {
            "call": self.call,
            "connections": self.connections,
            "rounds": self.rounds,
            "quiet": self.quiet,
            "counted": len(self.counted),
            "phases": self.phases,
            "summaries": {name: asdict(summary) for name, summary in self.summaries.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """`ratio` is of requests per second, `added_ms` of the p50, both per round: through the gateway to direct.

    `bare` is an Envoy that does nothing but forward: below what it adds, no gateway built on Envoy can be.
    All but `phases` and `rounds` is of the rounds that count.
    """

    protocol: str
    connections: int
    rounds: int
    counted: int
    quiet: bool
    direct: Summary
    bare: Summary
    gateway: Summary
    ratio: Spread
    added_ms: Spread
    bare_added_ms: Spread
    phases: list[dict[str, Any]]

    @classmethod
    def of(cls, measured: Measured, direct: str, bare: str, gateway: str) -> Comparison:
        sums = measured.summaries
        return cls(
            measured.call,
            measured.connections,
            measured.rounds,
            len(measured.counted),
            measured.quiet,
            sums[direct],
            sums[bare],
            sums[gateway],
            measured.ratio(gateway, direct),
            measured.added(gateway, direct),
            measured.added(bare, direct),
            measured.phases,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class WrongAnswer(Exception):
    """A server answered, but not with the digit."""


def compare(
    call: Call,
    connections: int,
    direct: Target,
    bare: Target,
    gateway: Target,
    timing: Timing,
    pids: Mapping[str, Sequence[int]],
) -> Comparison:
    """Raises WrongAnswer, or RuntimeError when the generator gives up."""
    measured = measure(call, connections, [direct, bare, gateway], timing, pids)
    return Comparison.of(measured, direct.name, bare.name, gateway.name)


def measure(
    call: Call, connections: int, targets: Sequence[Target], timing: Timing, pids: Mapping[str, Sequence[int]]
) -> Measured:
    """Raises WrongAnswer, or RuntimeError when the generator gives up."""
    phases = generate(call, connections, targets, timing, pids)
    by_target = [[phase for phase in phases if phase["target"] == target.name] for target in targets]
    rounds = [{phase["target"]: phase for phase in each} for each in zip(*by_target, strict=True)]
    quiet = [each for each in rounds if max(busy_elsewhere(phase) for phase in each.values()) <= QUIET_CORES]
    counted = quiet if len(quiet) >= FEWEST_ROUNDS else rounds
    return Measured(call.name, connections, len(rounds), counted is quiet, counted, phases)


def generate(
    call: Call, connections: int, targets: Sequence[Target], timing: Timing, pids: Mapping[str, Sequence[int]]
) -> list[dict[str, Any]]:
    """The phases of one run of the generator without the warm-up, all answers checked, in order of rounds."""
    plan = plan_of(call, connections, targets, timing, pids)
    # The plan holds a key, so it goes in by stdin, where no list of processes shows it.
    patience = 60 + 4 * len(targets) * (timing.warmup + timing.rounds * (timing.seconds + 1))
    done = subprocess.run(
        [sys.executable, "-m", "bench.generators.load"],
        cwd=CHECKOUT,
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-2000:])
    phases: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    for phase in phases:
        # Where answers repeat, the generator has seen to it that all of a run are the same bytes.
        answer = base64.b64decode(phase.pop("answer"))
        if not call.good(answer):
            raise WrongAnswer(f"{phase['target']} gave a wrong answer ({call.name}): {answer[:200]!r}")
    return [phase for phase in phases if phase["round"] >= 0]


def plan_of(
    call: Call, connections: int, targets: Sequence[Target], timing: Timing, pids: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """What bench/generators/load.py reads."""
    return {
        "protocol": call.wire,
        "body": base64.b64encode(call.body).decode(),
        "repeats": call.repeats,
        "connections": connections,
        **asdict(timing),
        "pids": pids,
        "targets": [
            {
                "name": target.name,
                "host": target.host,
                "port": target.port,
                "path": target.path or call.path,
                "headers": requests.headers(call, target.key, target.content_type),
                "frozen": list(target.frozen),
                "settle": target.settle,
            }
            for target in targets
        ],
    }
