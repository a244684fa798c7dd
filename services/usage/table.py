"""Usage as CSV: for a spreadsheet, which must not take a name for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from services.usage.measured import Measured, Point

COUNTS: Final = (
    "requests",
    "succeeded",
    "client_errors",
    "server_errors",
    "limited",
    "cancelled",
    "bytes_in",
    "bytes_out",
    "prompt_tokens",
    "completion_tokens",
)
LATENCIES: Final = ("mean_ms", "p50", "p95", "p99")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""What a cell of a spreadsheet begins with when it is more than text."""


def heading(group_by: str) -> list[str]:
    return [group_by, "name", "from", *COUNTS, "mean_ms", "p50_ms", "p95_ms", "p99_ms"]


def lines(group_by: str, points: Iterable[Point]) -> Iterator[str]:
    """Line by line, so that the whole need not fit into memory."""
    yield _line(heading(group_by))
    for point in points:
        at = point.at.isoformat().replace("+00:00", "Z") if point.at else ""
        yield _line([safe(point.group), safe(point.label), at, *_figures(point.used)])


def safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _figures(used: Measured) -> list[object]:
    latencies = (getattr(used, name) for name in LATENCIES)
    return [*(getattr(used, name) for name in COUNTS), *("" if value is None else value for value in latencies)]


def _line(cells: list[object] | list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()
