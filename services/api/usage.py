"""Usage in the REST API: by service, key or team, in all or by the interval, as JSON or CSV."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from console.errors import InvalidFields
from console.web.openapi import describe
from console.web.pages import whole_number
from console.web.rest import Resource
from services.api.serializers.usage import UsageReportOut
from services.gateway.keys import PREFIX
from services.models.usage import MINUTE
from services.usage import queries, table
from services.usage.queries import GROUPS, INTERVALS, Selection

MOST_INTERVALS: Final = 1500
MOST_POINTS: Final = 20_000
POINTS: Final = 1_000
"""Where a request names no `limit`."""
DAY_SECONDS: Final = 86400


class Csv(JSONRenderer):
    """Makes `?format=csv` and `Accept: text/csv` known. The view streams the text: only errors come through here."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"


def parameter(name: str, description: str, kind: Any = OpenApiTypes.STR, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, description=description, **more)


class UsageView(Resource):
    serializer_class = UsageReportOut
    pagination_class = None
    filter_backends = []
    renderer_classes = [JSONRenderer, Csv]

    @describe(
        "Show what services, keys or teams used",
        answers={(200, "application/json"): UsageReportOut, (200, "text/csv"): OpenApiTypes.STR},
        errors=[400],
        operation_id="usage_list",
        description="Counted from the gateway's log, seconds after each request has ended. You see the calls to your "
        "teams' services and those made with your teams' keys; without `interval`, one sum over the whole time.",
        parameters=[
            parameter("group_by", "service (default), key or team.", enum=list(GROUPS)),
            parameter("from", "The last 24 hours when left out.", OpenApiTypes.DATETIME),
            parameter("to", "Now when left out.", OpenApiTypes.DATETIME),
            parameter("interval", f"At most {MOST_INTERVALS} of them.", enum=list(INTERVALS)),
            parameter("limit", f"Points, at most {MOST_POINTS:,}; {POINTS:,} when left out.", OpenApiTypes.INT),
            parameter("service", "Only this service."),
            parameter("key", "Only the key of this id, with or without `isk_`."),
            parameter("team", "Only this team's."),
        ],
    )
    def show(self, request: Request) -> HttpResponseBase:
        selection, interval = _parse_selection(request.query_params)
        limit = _limit(request.query_params)
        if request.accepted_renderer.format == Csv.format:
            lines = table.lines(selection.group_by, queries.stream(self.actor, selection))
            return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        points = queries.read(self.actor, selection)
        answer = {
            "start": _time(selection.start),
            "end": _time(selection.end),
            "group_by": selection.group_by,
            "interval": interval,
            "results": points[:limit],
            "left_out": max(0, len(points) - limit),
        }
        return Response(UsageReportOut(answer).data)


def _parse_selection(query: Mapping[str, str]) -> tuple[Selection, str | None]:
    """Raises InvalidFields with everything that is wrong."""
    errors: dict[str, str] = {}
    now = int(time.time())
    end = _moment(query, "to", now + 1, errors)  # the second that has begun counts, also where it begins a minute
    start = _moment(query, "from", end - DAY_SECONDS, errors)
    interval = query.get("interval") or None
    if interval is not None and interval not in INTERVALS:
        errors["interval"] = f"Must be one of: {', '.join(INTERVALS)}."
    group_by = query.get("group_by", queries.SERVICE)
    if group_by not in GROUPS:
        errors["group_by"] = f"Must be one of: {', '.join(GROUPS)}."
    if not errors and start >= end:
        errors["from"] = "Must be before `to`."
    step = INTERVALS.get(interval or "", 0)
    if not errors and step and (end - start) / step > MOST_INTERVALS:
        errors["interval"] = f"Those are more than {MOST_INTERVALS} intervals: take a longer one, or less time."
    for name in ("service", "key", "team"):
        if "\0" in query.get(name, ""):
            errors[name] = "Holds a NUL character."
    if errors:
        raise InvalidFields(errors)
    service, key, team = (query.get(name, "") for name in ("service", "key", "team"))
    selection = Selection(start, end, group_by, step, service, key.removeprefix(PREFIX), team)
    span = selection.span
    return replace(selection, start=start - start % span, end=-(-end // span) * span, rows=span), interval


def _limit(query: Mapping[str, str]) -> int:
    limit = whole_number(query.get("limit") or str(POINTS))
    if limit is None or not 1 <= limit <= MOST_POINTS:
        raise InvalidFields({"limit": f"Must be a whole number from 1 to {MOST_POINTS:,}."})
    return limit


def _moment(query: Mapping[str, str], name: str, default: int, errors: dict[str, str]) -> int:
    """Seconds since the epoch; what has no time zone is UTC."""
    if not (raw := query.get(name, "")):
        return default
    try:
        moment = parse_datetime(raw.replace(" ", "+"))  # a plus sign that was not quoted
        seconds = int((moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())  # type: ignore[union-attr]
    except (ValueError, OverflowError, AttributeError):
        errors[name] = "Must be a time such as 2026-11-20T13:00:00Z."
        return default
    if not MINUTE <= seconds < 1 << 33:
        errors[name] = "Out of range."
        return default
    return seconds


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
