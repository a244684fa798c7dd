"""Adds sums of log lines to the tables of usage. Called inside the transaction that also moves the position.

One INSERT .. ON CONFLICT adds to a row that may or may not be there, in the dialect that SQLite and PostgreSQL share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import add as plus
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max, QuerySet

from services.gateway.usage_lines import MEASURES, Row, Sums
from services.models import ApiKey, Service, Usage, UsageSeries
from services.models.usage import SPANS

BATCH = 500
"""Names, or rows, of one statement."""
USED_EVERY = 60
"""Seconds. `last_used_at` of a key is written at most this often."""


class Owner(NamedTuple):
    """Name and team behind a key's id or a service's name. All empty when unknown."""

    name: str = ""
    team_id: int = 0
    team: str = ""


class Identity(NamedTuple):
    """What makes a series one."""

    key_id: str
    key_team_id: int
    service: str
    service_team_id: int
    door: str


NOBODY = Owner()
RowKey = tuple[int, int, int]
"""Span, primary key of the series, start: in this order rows are written, so that two writers never wait in a ring."""


def add(sums: Sums) -> None:
    """Add the sums to each span's rows, and say when keys were used last."""
    if sums.rows:
        _upsert(_spread(sums.rows, _series(sums.rows)))
        _mark_used(sums.last_use)


def _spread(rows: Mapping[Row, Sequence[int]], series: Mapping[tuple[str, str, str], int]) -> dict[RowKey, list[int]]:
    """Row key -> amounts to add. Each sum goes to its minute, its hour, its day and to all time."""
    added: dict[RowKey, list[int]] = {}
    for row, amounts in rows.items():
        pk = series[row.key_id, row.service, row.door]
        for span in SPANS:
            row_key = (span, pk, row.minute - row.minute % span if span else 0)
            sums = added.get(row_key)
            added[row_key] = list(amounts) if sums is None else list(map(plus, sums, amounts))
    return added


def _upsert(added: Mapping[RowKey, Sequence[int]]) -> None:
    table = Usage._meta.db_table
    columns = ("span", "series_id", "start", *MEASURES)
    sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in MEASURES)
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608  # names of ours only
        f"VALUES ({', '.join(['%s'] * len(columns))}) ON CONFLICT (series_id, span, start) DO UPDATE SET {sums}"
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, [(*row_key, *added[row_key]) for row_key in sorted(added)])


def _series(rows: Iterable[Row]) -> dict[tuple[str, str, str], int]:
    """(key id, service, door) -> primary key of the series of today's owners, which is created if missing."""
    triples = {(row.key_id, row.service, row.door) for row in rows}
    key_ids, names = {key_id for key_id, _, _ in triples}, {service for _, service, _ in triples}
    keys, services = _owners(key_ids, _keys(key_ids), "key"), _owners(names, _services(names), "service")
    identities = {
        (key_id, service, door): Identity(key_id, keys[key_id].team_id, service, services[service].team_id, door)
        for key_id, service, door in triples
    }
    series = _series_pks(identities.values())
    if missing := sorted(set(identities.values()) - series.keys()):
        UsageSeries.objects.bulk_create(
            (_new(identity, keys[identity.key_id], services[identity.service]) for identity in missing),
            ignore_conflicts=True,  # another worker may make the same
            batch_size=BATCH,
        )
        series = _series_pks(identities.values())
    return {triple: series[identity] for triple, identity in identities.items()}


def _new(identity: Identity, key: Owner, service: Owner) -> UsageSeries:
    return UsageSeries(**identity._asdict(), key_name=key.name, key_team=key.team, service_team=service.team)


def _series_pks(identities: Iterable[Identity]) -> dict[Identity, int]:
    rows = _among(UsageSeries.objects.all(), "key_id", {identity.key_id for identity in identities})
    return {Identity(*fields): pk for pk, *fields in rows.values_list("pk", *Identity._fields).iterator()}


def _owners(names: set[str], present: Mapping[str, Owner], prefix: str) -> dict[str, Owner]:
    """Name -> current owner; for a deleted key or service, its owner when it was last counted."""
    owners = {"": NOBODY, **present}
    if gone := names - owners.keys():
        field = "key_id" if prefix == "key" else "service"
        last = _among(UsageSeries.objects.order_by(), field, gone).values(field).annotate(last=Max("pk"))
        fields = (field, f"{prefix}_name" if prefix == "key" else field, f"{prefix}_team_id", f"{prefix}_team")
        rows = UsageSeries.objects.filter(pk__in=last.values("last")).values_list(*fields)
        owners.update({identifier: Owner(*owner) for identifier, *owner in rows if identifier in gone})
    return {name: owners.get(name, NOBODY) for name in names}


def _keys(ids: set[str]) -> dict[str, Owner]:
    rows = _among(ApiKey.objects.order_by(), "key_id", ids).values_list("key_id", "name", "team_id", "team__name")
    return {key_id: Owner(*owner) for key_id, *owner in rows}


def _services(names: set[str]) -> dict[str, Owner]:
    rows = _among(Service.objects.order_by(), "name", names).values_list("name", "name", "team_id", "team__name")
    return {name: Owner(*owner) for name, *owner in rows}


def _mark_used(last_use: Mapping[str, int]) -> None:
    table = ApiKey._meta.db_table
    stale: list[tuple[Any, ...]] = []
    rows = _among(ApiKey.objects.order_by(), "key_id", set(last_use)).values_list("key_id", "last_used_at")
    for key_id, at in rows:
        used = datetime.fromtimestamp(last_use.get(key_id, 0), tz=UTC)
        if key_id in last_use and (at is None or (used - at).total_seconds() >= USED_EVERY):
            value = connection.ops.adapt_datetimefield_value(used)
            stale.append((value, key_id, value))
    stale.sort(key=lambda row: str(row[1]))
    if stale:
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {table} SET last_used_at = %s "  # noqa: S608  # the name is ours
                "WHERE key_id = %s AND (last_used_at IS NULL OR last_used_at < %s)",
                stale,
            )


def _among(rows: QuerySet[Any], field: str, values: set[str]) -> QuerySet[Any]:
    """The rows of those, and perhaps more: when many are asked for, taking all is quicker than naming each."""
    return rows.filter(**{f"{field}__in": sorted(values)}) if len(values) <= BATCH else rows
