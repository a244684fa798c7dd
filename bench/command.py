"""What the gateway costs. Needs no running console.

Starts one Triton with the example service and the product's own gateway in front of it, both in a temporary
directory on free ports; measures direct and through the gateway with a key, REST and gRPC, at 1 and 8 connections;
prints tables and writes all figures to a file. Method and limits are in docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from bench import machine, report
from bench.measure import Comparison, Summary, Target, Timing, WrongAnswer, compare, generate
from bench.targets import requests, servers
from bench.targets.population import measured, populate
from console import home
from console.errors import ConsoleError
from services.frameworks.triton import runtime

FULL = Timing(rounds=30, seconds=0.75, warmup=2.0)
QUICK = Timing(rounds=2, seconds=0.3, warmup=0.2)
CONNECTIONS = (1, 8)
PROTOCOLS = ("REST", "gRPC")
KEYS = 100
"""As in a team's daily life."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure the gateway against Triton itself.")
    parser.add_argument("--quick", action="store_true", help="whether it works at all: the figures mean nothing")
    parser.add_argument("--rounds", type=int, help=f"rounds a row (default {FULL.rounds})")
    parser.add_argument("--seconds", type=float, help=f"seconds a phase (default {FULL.seconds:g})")
    parser.add_argument("--out", type=Path, help="folder for the figures (default bench/results; none with --quick)")
    parser.add_argument("--docs", action="store_true", help="also put the tables into docs/performance.md")
    options = parser.parse_args(arguments)
    base = QUICK if options.quick else FULL
    timing = Timing(options.rounds or base.rounds, options.seconds or base.seconds, base.warmup)
    out = options.out or (None if options.quick else home.CHECKOUT / "bench" / "results")
    signal.signal(signal.SIGTERM, leave)  # so that what was started is ended
    root = home.from_environment().runtimes / "triton"
    if not runtime.locate(root).server.is_file():
        sys.exit("error: there is no Triton runtime. Run `make runtime-triton`.")
    try:
        measure_all(root, timing, out, docs=options.docs)
    except (RuntimeError, WrongAnswer, ConsoleError) as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        return 130
    return 0


def measure_all(root: Path, timing: Timing, out: Path | None, *, docs: bool) -> None:
    facts = machine.facts(root)
    say(report.facts_line(facts))
    say(f"{timing.rounds} rounds of 3 x {timing.seconds:g} s a row; starting Triton and the gateway ...")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows, ceilings = measure_native(root, Path(name), timing)
    now = datetime.now(UTC)
    tables = [report.comparison_table(rows), report.cpu_table(rows), report.ceiling_table(ceilings, CONNECTIONS[-1])]
    tables.append(report.verdict(rows))
    say("\n" + "\n\n".join(tables))
    if out is not None:
        write(out, now, facts, timing, rows, ceilings)
    if docs:
        page = home.CHECKOUT / "docs" / "performance.md"
        taken = f"Taken {now:%Y-%m-%d} on {report.facts_line(facts)}."
        page.write_text(report.into_page(page.read_text(encoding="utf-8"), [taken, *tables]), encoding="utf-8")


def measure_native(root: Path, directory: Path, timing: Timing) -> tuple[list[Comparison], dict[str, Summary]]:
    """REST and gRPC through the gateway and at Triton itself, and the generator against a server that does nothing."""
    with ExitStack() as stack:
        replica, pids_of_triton = stack.enter_context(servers.triton(root, directory))
        daily = populate(measured(replica), services=1, keys_=KEYS, replica=replica)
        door = stack.enter_context(servers.gateway(directory / "gateway", daily.snapshot))
        servers.wait_for_service(door.port, requests.REST, daily.key)
        direct = {"REST": replica.http.port, "gRPC": replica.grpc.port}
        gateway = Target("gateway", servers.HOST, door.port, daily.key)
        bare, pids_of_bare = {}, []
        for protocol, port in direct.items():
            forwarding, pid = stack.enter_context(servers.bare(directory, port, http2=protocol == "gRPC"))
            bare[protocol] = Target("bare Envoy", servers.HOST, forwarding)
            pids_of_bare.append(pid)
        pids = {"gateway": [door.pid], "bare Envoy": pids_of_bare, **pids_of_triton()}
        rows = []
        for protocol in PROTOCOLS:
            for connections in CONNECTIONS:
                straight = Target("direct", servers.HOST, direct[protocol])
                call, between = requests.DIGIT[protocol], bare[protocol]
                rows.append(compare(call, connections, straight, between, gateway, timing, pids))
                say(f"  {protocol}, {connections} connections: {rows[-1].ratio.median:.2f} of direct")
        ceilings = measure_ceilings(directory, timing)
    return rows, ceilings


def measure_ceilings(directory: Path, timing: Timing) -> dict[str, Summary]:
    """The generator against a server that computes nothing and sends the same answers."""
    with servers.plain(directory, [requests.REST, requests.GRPC]) as (port, pid):
        # Envoy answers a call that says it is gRPC without a body, so this one says something else.
        target = Target("plain", servers.HOST, port, content_type="application/octet-stream")
        short = Timing(min(3, timing.rounds), timing.seconds, timing.warmup)
        return {
            protocol: Summary.of(generate(requests.DIGIT[protocol], CONNECTIONS[-1], [target], short, {"plain": [pid]}))
            for protocol in PROTOCOLS
        }


def write(
    out: Path,
    now: datetime,
    facts: dict[str, object],
    timing: Timing,
    rows: list[Comparison],
    ceilings: dict[str, Summary],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"gateway-{now:%Y-%m-%d}.json"
    figures = {
        "when": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "machine": facts,
        "timing": asdict(timing),
        "comparisons": [row.to_json() for row in rows],
        "ceilings": {protocol: asdict(summary) for protocol, summary in ceilings.items()},
    }
    path.write_text(json.dumps(rounded(figures), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    say(f"\nAll figures: {path.relative_to(home.CHECKOUT) if path.is_relative_to(home.CHECKOUT) else path}")


def rounded(value: object) -> object:
    """Six figures are more than any of this means."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value


def say(text: str) -> None:
    print(text, flush=True)


def leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)
