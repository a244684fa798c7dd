"""What tests of rounds do to a row, and how they look at it again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from datasets.models import Round

Prepare = Callable[..., str]
"""Type of the fixture `prepare`."""
OLD = 10_000.0
"""Seconds: older than the time for which a copy is safe after it was asked for."""


def expire(job: Round) -> None:
    Round.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def fresh(job: Round) -> Round:
    return Round.objects.get(pk=job.pk)
