"""Usage: the page with chart and table, its CSV, and the small charts that other pages show."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.accounts.principal import Principal
from console.web.pages import actor_of, page
from services.gateway.envoy.names import KEYLESS
from services.usage import queries, table
from services.usage.measured import Measured, Point
from services.usage.queries import Selection
from services.views.usage_charts import METRICS, Chart, draw

RANGES: Final = {
    "1h": ("Hour", 3600, 60),
    "24h": ("Day", 86400, 1800),
    "7d": ("7 days", 7 * 86400, 3 * 3600),
    "30d": ("30 days", 30 * 86400, 86400),
}
"""Name in the address -> label, seconds, seconds of a bar."""
BY: Final = {queries.SERVICE: "Service", queries.KEY: "Key", queries.TEAM: "Team"}
SHOWN: Final = 100
"""Rows of the table; the CSV has all."""
FILTERS: Final = ("service", "key", "team")


@dataclass(frozen=True)
class Choice:
    """What an address asks for; whatever it says wrongly is the default."""

    range: str
    metric: str
    by: str
    only: tuple[tuple[str, str], ...]
    """(filter, value) of those that are set."""

    @classmethod
    def of(cls, query: QueryDict, range_: str = "24h") -> Choice:
        def one_of(name: str, choices: Any, default: str) -> str:
            return value if (value := query.get(name, "")) in choices else default

        return cls(
            range=one_of("range", RANGES, range_),
            metric=one_of("metric", METRICS, "requests"),
            by=one_of("by", BY, queries.SERVICE),
            only=tuple((name, text[:63]) for name in FILTERS if (text := query.get(name, "").replace("\0", ""))),
        )

    def query(self, **changes: str) -> str:
        """The address of the same page with something else chosen. A value of "" takes a filter away."""
        chosen = {"range": self.range, "metric": self.metric, "by": self.by, **dict(self.only), **changes}
        parameters = QueryDict(mutable=True)
        parameters.update({name: value for name, value in chosen.items() if value})
        return f"?{parameters.urlencode()}"

    def to_selection(self) -> Selection:
        """The range up to now; the last interval is the one that has begun."""
        _, length, step = RANGES[self.range]
        end = (int(time.time()) // step + 1) * step
        only = dict(self.only)
        return Selection(
            end - length, end, self.by, step, only.get("service", ""), only.get("key", ""), only.get("team", "")
        )


@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """The whole page, or for a poll what changes of it."""
    actor, choice = actor_of(request), Choice.of(request.GET)
    selection = choice.to_selection()
    # The sum over the whole time, from rows that are as fine as the chart's: so the two agree.
    points = queries.read(actor, replace(selection, step=0, rows=selection.span))
    rows = [_row(point, choice) for point in points[:SHOWN]]
    context = {
        "choice": choice,
        "chart": _chart(actor, choice, selection),
        "rows": rows,
        "more": max(0, len(points) - SHOWN),
        "sum": sum((point.used for point in points), Measured()),
        "by_label": BY[choice.by],
        "ranges": [(label, choice.query(range=name), name == choice.range) for name, (label, _, _) in RANGES.items()],
        "metrics": [(m.label, choice.query(metric=name), name == choice.metric) for name, m in METRICS.items()],
        "groups": [(label, choice.query(by=name), name == choice.by) for name, label in BY.items()],
        "filters": [(name, value, choice.query(**{name: ""})) for name, value in choice.only],
        "here": choice.query(),
        "is_admin": actor.is_admin,
    }
    return page(request, "usage/page.html", "usage/_live.html", context)


@require_safe
def chart(request: HttpRequest) -> HttpResponse:
    """Requests and latency of one service, key or team, for the pages of those: by htmx only."""
    actor, choice = actor_of(request), Choice.of(request.GET, "1h")
    selection = choice.to_selection()
    used = queries.over_time(actor, selection)
    charts = [
        draw(METRICS[name], selection.start, selection.end, selection.step, used) for name in ("requests", "latency")
    ]
    return render(request, "usage/_small.html", {"charts": charts, "more": choice.query(range="24h")})


@require_safe
def export(request: HttpRequest) -> StreamingHttpResponse:
    """What the page shows, as CSV: a line for each group and interval."""
    actor, choice = actor_of(request), Choice.of(request.GET)
    lines = table.lines(choice.by, queries.stream(actor, choice.to_selection()))
    headers = {"Content-Disposition": f'attachment; filename="usage-{choice.by}-{choice.range}.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


def _chart(actor: Principal, choice: Choice, selection: Selection) -> Chart:
    return draw(
        METRICS[choice.metric], selection.start, selection.end, selection.step, queries.over_time(actor, selection)
    )


def _row(point: Point, choice: Choice) -> dict[str, Any]:
    """A line of the table, and where its name leads: to the same page with only that."""
    named = point.group not in ("", queries.OTHER_TEAM)
    narrower = {queries.SERVICE: queries.KEY, queries.KEY: queries.SERVICE, queries.TEAM: queries.SERVICE}[choice.by]
    return {
        "label": point.label,
        "group": point.group,
        "used": point.used,
        "note": f"isk_{point.group}…" if choice.by == queries.KEY and named and point.group != KEYLESS else "",
        "url": choice.query(**{choice.by: point.group, "by": narrower}) if named else "",
    }
