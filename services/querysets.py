"""Questions that actions, pages and the API ask of the tables."""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.utils import timezone

from console.principal import Principal
from services import states


class ServiceQuerySet(models.QuerySet[Any]):
    def visible_to(self, actor: Principal) -> Self:
        """Those of the actor's teams (and, for a restricted key, only the named ones); all for an administrator."""
        visible = self if actor.is_admin else self.filter(team_id__in=list(actor.roles))
        return visible.filter(name__in=actor.services) if actor.services else visible

    def routable(self) -> Self:
        return self.filter(state__in=states.ROUTABLE)

    def waiting_in(self, queue: str) -> Self:
        """QUEUED ones, first come first served."""
        return self.filter(state=states.QUEUED, target__spec__queue=queue).order_by("queued_at", "id")

    def unleased(self) -> Self:
        now = timezone.now()
        return self.filter(models.Q(lease_until=None) | models.Q(lease_until__lt=now))


class ReplicaQuerySet(models.QuerySet[Any]):
    def taken_ports(self) -> set[int]:
        rows = self.order_by().values_list("http_port", "grpc_port", "metrics_port")
        return {port for row in rows for port in row}

    def in_queue(self, queue: str) -> Self:
        """Every replica is a claim: it holds its share of the queue's quota until its row is gone."""
        return self.filter(revision__spec__queue=queue)


class ApiKeyQuerySet(models.QuerySet[Any]):
    def visible_to(self, actor: Principal) -> Self:
        return self if actor.is_admin else self.filter(team_id__in=list(actor.roles))

    def live(self) -> Self:
        """Neither revoked nor expired."""
        now = timezone.now()
        return self.filter(revoked_at=None).filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now))
