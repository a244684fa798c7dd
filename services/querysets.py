"""Questions that actions, pages and the API ask of the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Self

from django.db import models
from django.utils import timezone

from console.accounts.principal import Principal
from services import states


class ServiceQuerySet(models.QuerySet[Any]):
    def visible_to(self, actor: Principal) -> Self:
        """Those of the actor's teams (and, for a restricted key, only those it is for); all for an administrator."""
        visible = self if actor.is_admin else self.filter(team_id__in=list(actor.roles))
        return visible if actor.services is None else visible.filter(pk__in=actor.services)

    def routable(self) -> Self:
        return self.filter(state__in=states.ROUTABLE)

    def waiting(self) -> Self:
        """QUEUED ones, first come first served."""
        return self.filter(state=states.QUEUED).order_by("queued_at", "id")

    def waiting_in(self, queue: str) -> Self:
        return self.waiting().filter(target__spec__queue=queue)

    def unleased(self) -> Self:
        now = timezone.now()
        return self.filter(models.Q(lease_until=None) | models.Q(lease_until__lt=now))


class ReplicaQuerySet(models.QuerySet[Any]):
    def in_queue(self, queue: str) -> Self:
        """Every replica is a claim: it holds its share of the queue's quota until its row is gone."""
        return self.filter(revision__spec__queue=queue)

    def devices(self) -> set[str]:
        """UUIDs of all that these have."""
        return {uuid for uuids in self.order_by().values_list("devices", flat=True) for uuid in uuids}


class ApiKeyQuerySet(models.QuerySet[Any]):
    def visible_to(self, actor: Principal) -> Self:
        return self if actor.is_admin else self.filter(team_id__in=list(actor.roles))

    def live(self) -> Self:
        """Neither revoked nor expired."""
        now = timezone.now()
        return self.filter(revoked_at=None).filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now))

    def below(self, pks: Iterable[int], without: Collection[int | None] = ()) -> dict[int, list[int]]:
        """Primary key -> those of the keys that it made, that those made, and so on; nothing at or below `without`.

        One query, however long the chains are.
        """
        children: dict[int, list[int]] = {}
        for pk, parent in self.exclude(parent=None).order_by("pk").values_list("pk", "parent_id"):
            if pk not in without:
                children.setdefault(parent, []).append(pk)
        return {pk: _descendants(pk, children) for pk in pks}

    def above(self, pks: Iterable[int]) -> set[int]:
        """Primary keys of the keys that made these, of those that made them, and so on. One query."""
        waiting = set(pks)
        parents = dict(self.exclude(parent=None).values_list("pk", "parent_id")) if waiting else {}
        rows: set[int] = set()
        while waiting := {parents[pk] for pk in waiting if pk in parents} - rows:
            rows |= waiting
        return rows


def _descendants(pk: int, children: dict[int, list[int]]) -> list[int]:
    descendants: list[int] = []
    waiting = [pk]
    while waiting:
        below = children.get(waiting.pop(), [])
        descendants += below
        waiting += below
    return descendants
