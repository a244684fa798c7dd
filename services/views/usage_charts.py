"""Usage as charts: where bars and lines go, in the units of an SVG. The markup is in templates/usage/_chart.html.

A chart is stretched to the width of its card, so there is no text in it; labels stand around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final

from console.formats.units import size_text
from services.usage.measured import Measured

WIDTH: Final = 600
HEIGHT: Final = 120
GAP: Final = 0.2
"""Share of a bar's width that is left empty."""


@dataclass(frozen=True)
class Part:
    """One thing that a metric is made of. `colour` is a class of the stylesheet."""

    label: str
    colour: str
    value: Callable[[Measured], float | None]


@dataclass(frozen=True)
class Metric:
    label: str
    unit: str
    parts: tuple[Part, ...]
    lines: bool = False
    """Drawn as lines, for what cannot be added up; as stacked bars otherwise."""


REQUESTS: Final = (
    Part("succeeded", "one", attrgetter("succeeded")),
    Part("cancelled", "five", attrgetter("cancelled")),
)
ERRORS: Final = (
    Part("limited", "four", attrgetter("limited")),
    Part("rejected (4xx)", "two", attrgetter("client_errors")),
    Part("failed (5xx)", "three", attrgetter("server_errors")),
)
LATENCY: Final = (Part("p50", "one", attrgetter("p50")), Part("p95", "two", attrgetter("p95")))
TOKENS: Final = (
    Part("prompt", "one", attrgetter("prompt_tokens")),
    Part("completion", "two", attrgetter("completion_tokens")),
)
BYTES: Final = (Part("in", "one", attrgetter("bytes_in")), Part("out", "two", attrgetter("bytes_out")))
METRICS: Final[dict[str, Metric]] = {
    "requests": Metric("Requests", "", (*REQUESTS, *ERRORS)),
    "errors": Metric("Errors", "", ERRORS),
    "latency": Metric("Latency", "ms", LATENCY, lines=True),
    "tokens": Metric("Tokens", "", TOKENS),
    "bytes": Metric("Bytes", "B", BYTES),
}


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str


@dataclass(frozen=True)
class Line:
    points: str
    colour: str


@dataclass(frozen=True)
class Chart:
    title: str
    top: str
    """What the upper edge stands for."""
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    legend: tuple[tuple[str, str], ...]
    """(colour, label)"""
    times: tuple[str, ...]
    """Along the lower edge, evenly apart."""
    empty: bool
    width: int = WIDTH
    height: int = HEIGHT


def draw(metric: Metric, start: int, end: int, step: int, used: dict[int, Measured]) -> Chart:
    """`used`: second at which an interval began -> what was used in it; intervals without any may be missing."""
    starts = range(start, end, step)
    nothing = Measured()
    values = [[part.value(used.get(at, nothing)) for part in metric.parts] for at in starts]
    heights = [max(_measured(row), default=0) if metric.lines else sum(_measured(row)) for row in values]
    top = ceiling(max(heights, default=0))
    titles = [_title(metric, at, step, row) for at, row in zip(starts, values, strict=True)]
    return Chart(
        title=metric.label,
        top=amount(top, metric.unit),
        bars=_hovers(titles) if metric.lines else _bars(metric, values, top, titles),
        lines=_lines(metric, values, top) if metric.lines else (),
        legend=tuple((part.colour, part.label) for part in metric.parts) if len(metric.parts) > 1 else (),
        times=tuple(clock(at, end - start) for at in _marks(start, end)),
        empty=not any(heights),
    )


def ceiling(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ... that is not less."""
    if value <= 0:
        return 1
    size = 10.0 ** math.floor(math.log10(value))
    return next(size * step for step in (1, 2, 5, 10, 20) if size * step >= value)


def amount(value: float, unit: str) -> str:
    if unit == "B":
        return size_text(value)
    return f"{value:,.0f} {unit}".strip() if value >= 10 or value == int(value) else f"{value:,.2g} {unit}".strip()


def clock(at: int, length: int) -> str:
    """A time in UTC, as exactly as a chart of `length` seconds needs."""
    shape = "%H:%M" if length <= 90_000 else "%d %b"
    return datetime.fromtimestamp(at, tz=UTC).strftime(shape)


def _measured(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _marks(start: int, end: int) -> list[int]:
    return [start + (end - start) * place // 4 for place in range(5)]


def _title(metric: Metric, at: int, step: int, values: Sequence[float | None]) -> str:
    texts = [
        f"{part.label} {amount(value, metric.unit)}"
        for part, value in zip(metric.parts, values, strict=True)
        if value is not None and (value or metric.lines)
    ]
    shape = "%Y-%m-%d" if step >= 86400 else "%Y-%m-%d %H:%M"
    return f"{datetime.fromtimestamp(at, tz=UTC).strftime(shape)} UTC: {', '.join(texts) or 'nothing'}"


def _bars(metric: Metric, rows: Sequence[Sequence[float | None]], top: float, titles: Sequence[str]) -> tuple[Bar, ...]:
    place = WIDTH / max(1, len(rows))
    bars = []
    for number, row in enumerate(rows):
        below = 0.0
        for part, value in zip(metric.parts, row, strict=True):
            if value:
                height = HEIGHT * value / top
                bars.append(
                    Bar(
                        _short(number * place + place * GAP / 2),
                        _short(HEIGHT - below - height),
                        _short(place * (1 - GAP)),
                        _short(max(height, 0.8)),
                        part.colour,
                        titles[number],
                    )
                )
                below += height
    return tuple(bars)


def _hovers(titles: Sequence[str]) -> tuple[Bar, ...]:
    """Unseen bars over the whole height that say what the lines are at."""
    place = WIDTH / max(1, len(titles))
    return tuple(
        Bar(_short(number * place), 0, _short(place), HEIGHT, "none", title) for number, title in enumerate(titles)
    )


def _lines(metric: Metric, rows: Sequence[Sequence[float | None]], top: float) -> tuple[Line, ...]:
    """A line ends where nothing is known, and goes on after it; a lone point is a short stroke."""
    place = WIDTH / max(1, len(rows))
    lines: list[Line] = []
    for number, part in enumerate(metric.parts):
        points: list[str] = []
        for column, row in enumerate([*rows, [None] * len(metric.parts)]):
            value = row[number]
            if value is None:
                if len(points) == 1:
                    x, y = points[0].split(",")
                    points.append(f"{_short(float(x) + place / 2)},{y}")
                if points:
                    lines.append(Line(" ".join(points), part.colour))
                points = []
                continue
            points.append(f"{_short((column + 0.5) * place)},{_short(HEIGHT - HEIGHT * value / top)}")
    return tuple(lines)


def _short(value: float) -> float:
    return round(value, 2)
