"""Which rounds of a measurement count, and how they are summed up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bench import measure
from bench.measure import Spread, Target, Timing, compare
from bench.targets import requests

DIRECT, BARE, GATEWAY = (Target(name, "127.0.0.1", i) for i, name in enumerate(("direct", "bare Envoy", "gateway"), 1))


def phase(target: str, number: int, rps: float, elsewhere: float = 0.0) -> dict[str, Any]:
    return {
        "target": target,
        "round": number,
        "requests": int(rps),
        "seconds": 1.0,
        "rps": rps,
        "p50_ms": 1000 / rps,
        "p99_ms": 2000 / rps,
        "max_ms": 1.0,
        "cpu_s": {"gateway": rps * 1e-4, "elsewhere": elsewhere},
    }


def compared(monkeypatch: pytest.MonkeyPatch, phases: Sequence[dict[str, Any]]) -> measure.Comparison:
    monkeypatch.setattr(measure, "generate", lambda *_: list(phases))
    return compare(requests.REST, 8, DIRECT, BARE, GATEWAY, Timing(3, 1, 1), {})


def test_the_ratio_is_the_median_of_the_ratios_of_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [(1000, 900), (500, 400), (2000, 1900)]  # a machine that changes its speed between rounds
    phases = [
        measured_phase
        for number, (direct, gateway) in enumerate(rates)
        for measured_phase in (
            phase("direct", number, direct),
            phase("bare Envoy", number, 950),
            phase("gateway", number, gateway),
        )
    ]
    comparison = compared(monkeypatch, phases)
    assert comparison.ratio == Spread(0.9, 0.8, 0.95)
    assert comparison.direct.rps == Spread(1000, 500, 2000)
    assert comparison.bare_added_ms.median == pytest.approx(1000 / 950 - 1)
    assert comparison.gateway.cpu_us["gateway"] == pytest.approx(100)


def test_rounds_disturbed_by_other_processes_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    phases = []
    for number in range(4):
        phases += [phase("direct", number, 1000), phase("bare Envoy", number, 950), phase("gateway", number, 900)]
    phases += [phase("direct", 4, 1000), phase("bare Envoy", 4, 950), phase("gateway", 4, 100, elsewhere=1.5)]
    comparison = compared(monkeypatch, phases)
    assert (comparison.counted, comparison.rounds, comparison.quiet) == (4, 5, True)
    assert comparison.ratio.low == 0.9


def test_when_nearly_all_rounds_are_disturbed_all_count_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = ("direct", "bare Envoy", "gateway")
    phases = [phase(name, number, 100, elsewhere=1.0) for number in range(5) for name in targets]
    comparison = compared(monkeypatch, phases)
    assert (comparison.counted, comparison.rounds, comparison.quiet) == (5, 5, False)
