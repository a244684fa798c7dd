"""How often somebody may do what costs others something, or helps to guess. Counted in the database.

A window begins with the first time and is not extended by later ones. Rows whose window is over go with the next count,
so there are as many as different names were counted within one window.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from console.errors import ConsoleError
from console.models import Tally


class TooOften(ConsoleError):
    code = "too_often"
    status = 429


def count(what: str, who: str, *, most: int, seconds: int) -> None:
    """Counts one more. Raises TooOften when `who` did it `most` times within `seconds` already."""
    if add(key_of(what, who), seconds) > most:
        raise TooOften(f"{who} did this {most} times within {seconds} seconds.", hint="Wait a minute, then try again.")


def key_of(*parts: str) -> str:
    """A digest of these parts; JSON keeps them apart, whatever they hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def add(key: str, seconds: int) -> int:
    """Counts one more; how many that makes in the present window. Two at once never get the same number."""
    now = timezone.now()
    Tally.objects.filter(ends_at__lte=now).delete()
    with transaction.atomic():
        Tally.objects.bulk_create([Tally(key=key, ends_at=now + timedelta(seconds=seconds))], ignore_conflicts=True)
        Tally.objects.filter(key=key).update(number=F("number") + 1)
        return int(Tally.objects.values_list("number", flat=True).get(key=key))


def take_back(key: str) -> None:
    """One that is not to count after all."""
    Tally.objects.filter(key=key, number__gt=0).update(number=F("number") - 1)
