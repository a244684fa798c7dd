"""Usage by service, key or team, and over time, as far as somebody may see it.

A member of a team sees the calls to the team's services and those made with the team's keys. What the other side of
such a call is called is another team's matter, and is left out. Requests that came to no service and had no key are
for administrators.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F, Q, Sum

from console.accounts.principal import Principal
from services.gateway.envoy.names import KEYLESS
from services.gateway.usage_lines import MEASURES
from services.models import Service, Usage
from services.models.usage import DAY, HOUR, MINUTE
from services.usage.measured import Measured, Point

SERVICE: Final = "service"
KEY: Final = "key"
TEAM: Final = "team"
GROUPS: Final = (SERVICE, KEY, TEAM)
INTERVALS: Final = {"minute": MINUTE, "hour": HOUR, "day": DAY}
OTHER_TEAM: Final = "(another team)"
MINUTES_UP_TO = 2 * DAY
HOURS_UP_TO = 92 * DAY
"""Seconds of time over which minutes, or hours, are added up; beyond that days are."""


@dataclass(frozen=True)
class Selection:
    """`start` and `end` in seconds since the epoch: from the former up to, and without, the latter."""

    start: int
    end: int
    group_by: str = SERVICE
    step: int = 0
    """Seconds of one interval; 0 for one sum over the whole time."""
    service: str = ""
    key: str = ""
    team: str = ""
    """Only what concerns these; "" is no restriction."""
    rows: int = 0
    """The span of the rows that are added up; 0 leaves the choice to `span`."""

    @property
    def span(self) -> int:
        """Seconds that one added row covers: the longest that fits the interval, or the finest that is not too many."""
        if self.rows:
            return self.rows
        if self.step:
            return max(span for span in (MINUTE, HOUR, DAY) if self.step % span == 0)
        length, age = self.end - self.start, time.time() - self.start
        if length <= MINUTES_UP_TO and age < settings.METERING_KEEP_DAYS * DAY:
            return MINUTE
        return HOUR if length <= HOURS_UP_TO and age < timedelta(days=400).total_seconds() else DAY


def read(actor: Principal, selection: Selection) -> list[Point]:
    """Those with the most requests first; of one group the oldest interval first."""
    points: dict[tuple[str, datetime | None], Point] = {}
    most: dict[str, int] = {}
    for point in stream(actor, selection):
        place = (point.group, point.at)
        before = points.get(place)
        points[place] = point if before is None else Point(point.group, point.label, point.at, before.used + point.used)
        most[point.group] = most.get(point.group, 0) + point.used.requests
    beginning = datetime.fromtimestamp(0, tz=UTC)
    return sorted(points.values(), key=lambda point: (-most[point.group], point.group, point.at or beginning))


def over_time(actor: Principal, selection: Selection) -> dict[int, Measured]:
    """Everything together, by the second at which each interval began. Empty intervals are left out."""
    return {int(at): Measured.of(sums) for at, *sums in _summed(_rows(actor, selection), ["at"]).iterator(2000)}


def last_hour(actor: Principal, service: str) -> Measured:
    """What was used of a service in this minute and the 59 before it."""
    end = (int(time.time()) // MINUTE + 1) * MINUTE
    points = read(actor, Selection(end - HOUR, end, SERVICE, service=service, rows=MINUTE))
    return sum((point.used for point in points), Measured())


def stream(actor: Principal, selection: Selection) -> Iterator[Point]:
    """As the database gives them, without keeping them: what is another team's may come in several parts."""
    fields, naming = NAMINGS[selection.group_by]
    columns = [*(["at"] if selection.step else []), *(f"series__{field}" for field in fields)]
    first = len(columns)
    for row in _summed(_rows(actor, selection), columns).order_by(*columns).iterator(2000):
        group, label = naming(actor, *row[first - len(fields) : first])
        at = datetime.fromtimestamp(row[0], tz=UTC) if selection.step else None
        yield Point(group, label, at, Measured.of(row[first:]))


def visible(actor: Principal) -> Q:
    """The rows of usage that `actor` may see."""
    allowed = Q()
    if not actor.is_admin:
        own = list(actor.roles)
        allowed &= Q(series__service_team_id__in=own) | Q(series__key_team_id__in=own)
    if actor.services is not None:
        names = Service.objects.filter(pk__in=actor.services).values("name")
        allowed &= Q(series__service__in=names)
    return allowed


def _rows(actor: Principal, selection: Selection) -> Any:
    rows = Usage.objects.filter(
        visible(actor), span=selection.span, start__gte=selection.start, start__lt=selection.end
    )
    # Whether another team has something of that name is not told: what is asked for by name must be one's own.
    own = list(actor.roles)
    of_service = Q() if actor.is_admin else Q(series__service_team_id__in=own)
    of_key = Q() if actor.is_admin else Q(series__key_team_id__in=own)
    if selection.service:
        rows = rows.filter(of_service, series__service=selection.service)
    if selection.key:
        rows = rows.filter(of_key, series__key_id=selection.key)
    if selection.team:
        direct = of_service & Q(series__service_team=selection.team)
        rows = rows.filter(direct | (of_key & Q(series__service_team="", series__key_team=selection.team)))
    return rows.annotate(at=F("start") - F("start") % selection.step) if selection.step else rows


def _summed(rows: Any, columns: Sequence[str]) -> Any:
    """Rows of the columns and, after them, the sums in the order of MEASURES."""
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    return rows.order_by().values(*columns).annotate(**sums).values_list(*columns, *sums)


def _service(actor: Principal, service: str, team_id: int) -> tuple[str, str]:
    if not service:
        return "", "(no service)"
    return (service, service) if _own(actor, team_id) else (OTHER_TEAM, "(a service of another team)")


def _key(actor: Principal, key_id: str, name: str, team_id: int) -> tuple[str, str]:
    if key_id == KEYLESS:
        return key_id, "(no key)"
    if not key_id:
        return "", "(no valid key)"
    return (key_id, name or key_id) if _own(actor, team_id) else (OTHER_TEAM, "(a key of another team)")


def _team(actor: Principal, team: str, team_id: int, key_team: str, key_team_id: int) -> tuple[str, str]:
    """The service's; of a request that came to none, the key's."""
    if not team_id:
        team, team_id = key_team, key_team_id
    if not team:
        return "", "(no team)"
    return (team, team) if _own(actor, team_id) else (OTHER_TEAM, OTHER_TEAM)


def _own(actor: Principal, team_id: int) -> bool:
    return actor.is_admin or team_id in actor.roles


NAMINGS: Final[Mapping[str, tuple[tuple[str, ...], Callable[..., tuple[str, str]]]]] = {
    SERVICE: (("service", "service_team_id"), _service),
    KEY: (("key_id", "key_name", "key_team_id"), _key),
    TEAM: (("service_team", "service_team_id", "key_team", "key_team_id"), _team),
}
"""What each grouping asks of a series, and the group and label that follow from it."""
