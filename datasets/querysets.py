"""Querysets of datasets and rounds."""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.utils import timezone

from console.accounts.principal import Principal
from datasets import states


class DatasetQuerySet(models.QuerySet[Any]):
    def visible_to(self, actor: Principal) -> Self:
        """Those of the actor's teams; all of them for an administrator."""
        seen = self.prefetch_related("trusts")
        return seen if actor.is_admin else seen.filter(team_id__in=list(actor.roles))


class RoundQuerySet(models.QuerySet[Any]):
    def visible_to(self, actor: Principal) -> Self:
        return self if actor.is_admin else self.filter(dataset__team_id__in=list(actor.roles))

    def active(self) -> Self:
        return self.filter(state__in=states.ACTIVE)

    def underway(self) -> Self:
        return self.filter(state__in=states.UNDERWAY)

    def without_owner(self) -> Self:
        """Rounds to do that no living worker holds: never claimed, or the lease ran out."""
        return self.underway().filter(models.Q(lease_until=None) | models.Q(lease_until__lt=timezone.now()))
