"""`make bench-gateway`: what is promised of the gateway's speed, in one run and one report. Needs no running console.

    native     REST and gRPC against the real Triton itself
    proxies    what a request costs beside nginx and HAProxy, and on the OpenAI path beside LiteLLM's proxy
    v1         V1 through the bridge, beside V2 without it and beside KServe's Python server
    chat       streamed chat against the real vLLM itself
    scale      one service and ten keys against 2,000 and 10,000; how soon a change counts
    changes    1,000 changes under load
    streams    512 streams of tokens for a minute

A part that needs what this machine has not says so, and the others go on. Method and limits: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.command import FULL, QUICK, leave, measure_native, rounded, say
from bench.measure import Timing
from bench.parts import changes, chat, scale, speed, streams
from bench.peers import proxies, python
from bench.targets import null, servers
from console import home
from services.frameworks.triton import runtime

MARKS = ("<!-- bench-gateway -->", "<!-- /bench-gateway -->")
CONNECTIONS = (1, 8)


@dataclass(frozen=True)
class Scope:
    """How much is measured."""

    timing: Timing
    large: tuple[int, int]
    effects: int
    changes: int
    streams: int
    stream_seconds: float
    chat_rounds: int


ALL = Scope(FULL, scale.LARGE, scale.CHANGES, 1_000, 512, 60.0, 60)
LITTLE = Scope(QUICK, scale.QUICK_LARGE, 1, 6, 16, 3.0, 1)
"""Whether it works at all: the figures mean nothing."""


@dataclass(frozen=True)
class Part:
    title: str
    tables: list[str]
    verdicts: list[str]
    figures: Any


@dataclass
class Run:
    scope: Scope
    runtimes: Path
    directory: Path
    missing: list[str] = field(default_factory=list)

    def native(self) -> Part:
        rows, ceilings = measure_native(self.runtimes / "triton", self.directory, self.scope.timing)
        tables = [report.comparison_table(rows), report.ceiling_table(ceilings, CONNECTIONS[-1])]
        return Part("Against Triton itself", tables, [report.verdict(rows)], [row.to_json() for row in rows])

    def proxies(self) -> Part:
        if absent := proxies.missing():
            self.missing.append(f"{', '.join(absent)}: apt install {' '.join(absent)}")
        self._peers()
        rows = speed.proxying(self.directory, self.scope.timing, CONNECTIONS)
        title = "One worker in front of a backend that computes nothing"
        return Part(title, [speed.table(rows)], speed.verdict(rows), [row.to_json() for row in rows])

    def v1(self) -> Part:
        self._peers()
        with servers.triton(self.runtimes / "triton", self.directory) as (replica, triton):
            rows = speed.bridging(self.directory, replica, triton(), self.scope.timing, CONNECTIONS)
        return Part("V1 by the bridge", [speed.table(rows)], speed.verdict(rows), [row.to_json() for row in rows])

    def chat(self) -> Part:
        if absent := chat.problem(self.runtimes):
            raise Missing(absent)
        rows = chat.measure_chat(self.runtimes / "vllm", self.directory, rounds=self.scope.chat_rounds)
        return Part(
            "Streamed chat against vLLM itself", [chat.table(rows)], chat.verdict(rows), [row.to_json() for row in rows]
        )

    def scale(self) -> Part:
        result = scale.measure_scale(
            self.directory, self.scope.timing, large=self.scope.large, changes=self.scope.effects
        )
        return Part("Size", [scale.table(result)], list(scale.verdict(result)), result.to_json())

    def changes(self) -> Part:
        result = changes.measure_changes(self.directory, changes=self.scope.changes)
        return Part("Changes under load", [changes.table(result)], [changes.verdict(result)], result.to_json())

    def streams(self) -> Part:
        result = streams.measure_streams(self.directory, streams=self.scope.streams, seconds=self.scope.stream_seconds)
        return Part("Streams of tokens", [streams.table(result)], [streams.verdict(result)], result.figures)

    def _peers(self) -> None:
        if python.environment() is None and PEERS_MISSING not in self.missing:
            self.missing.append(PEERS_MISSING)


PARTS: dict[str, Callable[[Run], Part]] = {
    "native": Run.native,
    "proxies": Run.proxies,
    "v1": Run.v1,
    "chat": Run.chat,
    "scale": Run.scale,
    "changes": Run.changes,
    "streams": Run.streams,
}
NEED_NULL = {"proxies", "scale", "changes"}
PEERS_MISSING = "LiteLLM and KServe: make runtime-bench"


class Missing(Exception):
    """A part cannot be measured on this machine."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure the gateway.")
    parser.add_argument("--quick", action="store_true", help="whether it works at all: the figures mean nothing")
    parser.add_argument("--rounds", type=int, help=f"rounds a row (default {FULL.rounds})")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="folder for the figures (default bench/results; none with --quick)")
    parser.add_argument("--docs", action="store_true", help="also put the tables into docs/performance.md")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := set(names) - set(PARTS):
        parser.error(f"there is no part named {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, leave)  # so that what was started is ended
    runtimes = home.from_environment().runtimes
    if not runtime.locate(runtimes / "triton").server.is_file():
        sys.exit("error: there is no Triton runtime. Run `make runtime-triton`.")
    facts = machine.facts(runtimes / "triton")
    say(report.facts_line(facts))
    out = options.out or (None if options.quick else home.CHECKOUT / "bench" / "results")
    try:
        scope = LITTLE if options.quick else ALL
        if options.rounds:
            scope = replace(scope, timing=replace(scope.timing, rounds=options.rounds))
        parts, missing = measure(names, scope, runtimes)
    except KeyboardInterrupt:
        return 130
    now = datetime.now(UTC)
    text = in_words(parts, missing)
    say("\n" + "\n\n".join(text))
    if out is not None:
        write(out, now, facts, parts, missing)
    if options.docs:
        page = home.CHECKOUT / "docs" / "performance.md"
        taken = f"Taken {now:%Y-%m-%d} on {report.facts_line(facts)}."
        page.write_text(report.into_page(page.read_text(encoding="utf-8"), [taken, *text], MARKS), encoding="utf-8")
    return 1 if any(part is None for part in parts.values()) else 0


def measure(names: Sequence[str], scope: Scope, runtimes: Path) -> tuple[dict[str, Part | None], list[str]]:
    """Part -> what came of it, None where it failed; and what was missing."""
    parts: dict[str, Part | None] = {}
    missing: list[str] = []
    for name in names:
        if name in NEED_NULL and not null.available():
            missing.append(f"{name}: needs nginx as a backend that computes nothing (apt install nginx)")
            continue
        say(f"\n{name} ...")
        # Short: a socket's path has 107 bytes at most.
        with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as directory:
            run = Run(scope, runtimes, Path(directory), missing)
            try:
                parts[name] = part = PARTS[name](run)
            except Missing as absent:
                missing.append(f"{name}: {absent}")
            except Exception:
                parts[name] = None
                missing.append(f"{name}: FAILED")
                say(traceback.format_exc())
            else:
                say("\n".join(part.verdicts))
    return parts, missing


def in_words(parts: dict[str, Part | None], missing: Sequence[str]) -> list[str]:
    text = []
    for part in parts.values():
        if part is not None:
            text += [f"#### {part.title}", *part.tables, "\n".join(f"- {line}" for line in lines(part.verdicts))]
    if missing:
        text.append("Not measured here: " + "; ".join(missing) + ".")
    return text


def lines(verdicts: Sequence[str]) -> list[str]:
    return [line for verdict in verdicts for line in verdict.splitlines()]


def write(out: Path, now: datetime, facts: Any, parts: dict[str, Part | None], missing: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"doors-{now:%Y-%m-%d}.json"
    figures = {
        "when": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "machine": facts,
        "missing": list(missing),
        "parts": {
            name: {"verdicts": lines(part.verdicts), "figures": part.figures}
            for name, part in parts.items()
            if part is not None
        },
    }
    path.write_text(json.dumps(rounded(figures), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    say(f"\nAll figures: {path.relative_to(home.CHECKOUT) if path.is_relative_to(home.CHECKOUT) else path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
