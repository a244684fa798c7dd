"""The results as Markdown, for people and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from bench.measure import Comparison, Spread, Summary

WANTED, AIM = 0.8, 0.9
WANTED_MS = 0.3
"""Added to the p50 at one connection."""
VERDICT_CONNECTIONS = 8
MARKS = ("<!-- bench -->", "<!-- /bench -->")
# Characters in a line of a document.
WIDTH = 119


def comparison_table(rows: Sequence[Comparison]) -> str:
    lines = [
        "| | conns | direct rps | p50 / p99 ms | gateway rps | p50 / p99 ms | rps ratio | p50 adds | bare | rounds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.protocol} | {row.connections} | {row.direct.rps.median:,.0f} | {_latency(row.direct)} "
        f"| {row.gateway.rps.median:,.0f} | {_latency(row.gateway)} "
        f"| **{row.ratio.median:.2f}** ({row.ratio.low:.2f} to {row.ratio.high:.2f}) | {row.added_ms.median:.2f} ms "
        f"| {row.bare_added_ms.median:.2f} ms | {row.counted} of {row.rounds}{'' if row.quiet else ', NOISY'} |"
        for row in rows
    ]
    return "\n".join(lines)


def cpu_table(rows: Sequence[Comparison]) -> str:
    """CPU microseconds a request, so that one sees what the time goes to and that it is not the generator."""
    lines = [
        "| CPU µs a request | connections | generator | gateway | Triton | model | elsewhere, cores (max) |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        for name, summary in (("direct", row.direct), ("bare Envoy", row.bare), ("gateway", row.gateway)):
            own = name if name == "bare Envoy" else "gateway"
            cells = " | ".join(f"{summary.cpu_us[part]:.0f}" for part in ("generator", own, "triton", "model"))
            lines.append(f"| {row.protocol} {name} | {row.connections} | {cells} | {_cores(summary.elsewhere)} |")
    return "\n".join(lines)


def ceiling_table(ceilings: Mapping[str, Summary], connections: int) -> str:
    lines = [f"| Generator's ceiling, {connections} connections | rps | p50 / p99 ms |", "|---|--:|--:|"]
    lines += [
        f"| {protocol} | {summary.rps.median:,.0f} | {_latency(summary)} |" for protocol, summary in ceilings.items()
    ]
    return "\n".join(lines)


def verdict(rows: Sequence[Comparison]) -> str:
    """Whether what is wanted is reached, a sentence a protocol."""
    noisy = "Rows marked NOISY: other processes were busy nearly all the time. Run this again on a quiet machine."
    lines = [
        f"{row.protocol} through the gateway at {row.connections} connections: {row.ratio.median:.2f} of direct"
        f" ({_word(row.ratio.median)}; wanted {WANTED}, aim {AIM})."
        for row in rows
        if row.connections == VERDICT_CONNECTIONS
    ]
    lines += [
        f"{row.protocol} at one connection: the gateway adds {row.added_ms.median:.2f} ms to the p50"
        f" ({'as wanted' if row.added_ms.median <= WANTED_MS else 'TOO MUCH'}; wanted {WANTED_MS:g}),"
        f" an Envoy that only forwards {row.bare_added_ms.median:.2f} ms."
        for row in rows
        if row.connections == 1
    ]
    return "\n".join(lines if all(row.quiet for row in rows) else [*lines, noisy])


def into_page(page: str, parts: Sequence[str], marks: tuple[str, str] = MARKS) -> str:
    """The page with `parts` instead of what is between its two marks."""
    before, _, rest = page.partition(marks[0])
    _, separator, after = rest.partition(marks[1])
    if not separator:
        raise ValueError(f"The page has no {marks[0]} and {marks[1]}.")
    return before + marks[0] + "\n\n" + "\n\n".join(_wrapped(part) for part in parts) + "\n\n" + marks[1] + after


def _wrapped(part: str) -> str:
    """`part` with its prose in lines of a document; rows of tables cannot be broken."""
    lines: list[str] = []
    for line in part.splitlines():
        if len(line) <= WIDTH or line.startswith("|"):
            lines.append(line)
        else:
            indent = "  " if line.startswith("- ") else ""
            lines += wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def _word(ratio: float) -> str:
    if ratio >= AIM:
        return "aim reached"
    return "as wanted" if ratio >= WANTED else "TOO LITTLE"


def facts_line(facts: Mapping[str, Any]) -> str:
    load = "/".join(str(value) for value in facts["load_before"])
    return (
        f"{facts['processor']}, {facts['cpus']} CPUs, {facts['memory_gib']} GiB, {facts['system']},"
        f" Linux {facts['kernel']}, Python {facts['python']}, Envoy {facts['envoy']}, {facts['triton_wheel']};"
        f" load before: {load}"
    )


def _latency(summary: Summary) -> str:
    return f"{summary.p50_ms.median:.2f} / {summary.p99_ms.median:.2f}"


def _cores(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.high:.2f})"
