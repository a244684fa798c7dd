"""What lists of keys show beside the rows: how many keys each one made, and which of its services are gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.models import ApiKey, Service


@dataclass(frozen=True)
class Facts:
    children: int
    """Living keys that it made, and those that they made."""
    deleted_services: tuple[str, ...]


def read(rows: Sequence[ApiKey]) -> dict[int, Facts]:
    """By primary key. Three queries, however many rows there are."""
    below = ApiKey.objects.below([row.pk for row in rows])
    descendants = ApiKey.objects.live().exclude(parent=None) if any(below.values()) else ApiKey.objects.none()
    live = set(descendants.values_list("pk", flat=True))
    named = {pk for row in rows for pk in row.service_ids}
    services = set(Service.objects.filter(pk__in=named).values_list("pk", flat=True)) if named else set()
    return {
        row.pk: Facts(
            len(live.intersection(below[row.pk])),
            tuple(name for name, pk in zip(row.services, row.service_ids, strict=False) if pk not in services),
        )
        for row in rows
    }
