"""Counting what was refused because it would do harm; metrics show it, and the log of the process names each."""

from __future__ import annotations

import logging

from django.db.models import F

from console.errors import ConsoleError
from datasets.errors import REFUSED, SourceError
from datasets.models import Refusal

logger = logging.getLogger(__name__)


def count(error: ConsoleError, where: str) -> None:
    """Once for each refusal that a person or a round met, at `where`; anything else is not counted."""
    reason = error.refused if isinstance(error, SourceError) else ""
    if not reason:
        return
    logger.warning("Refused (%s) at %s: %s", reason, where, error)
    Refusal.objects.get_or_create(reason=reason)
    Refusal.objects.filter(reason=reason).update(count=F("count") + 1)


def totals() -> dict[str, int]:
    """Reason -> how often, of every reason that there is."""
    return dict.fromkeys(REFUSED, 0) | dict(Refusal.objects.values_list("reason", "count"))
