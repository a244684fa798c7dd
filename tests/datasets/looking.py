"""What tests of rounds do to a row, and how they look at it again."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from datasets.models import Round


def expire(round_: Round) -> None:
    Round.objects.filter(pk=round_.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def fresh(round_: Round) -> Round:
    found: Round = Round.objects.get(pk=round_.pk)
    return found
