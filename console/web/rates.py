"""How often somebody may do what costs others something, or helps to guess. Counted in the database.

A window begins with the first time and is not extended by later ones. Rows whose window is over go with the next count,
so there are as many as different names were counted within one window.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Final

from django.db import connection
from django.db.models import F
from django.utils import timezone

from console.errors import ConsoleError
from console.models import Tally

# One statement: between two, another transaction may remove the row.
_UPSERT: Final = """
INSERT INTO console_tally AS tally (key, number, ends_at) VALUES (%s, 1, %s)
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN tally.ends_at <= %s THEN 1 ELSE tally.number + 1 END,
    ends_at = CASE WHEN tally.ends_at <= %s THEN excluded.ends_at ELSE tally.ends_at END
RETURNING number
"""


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
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, [key, adapt(now + timedelta(seconds=seconds)), adapt(now), adapt(now)])
        return int(cursor.fetchone()[0])


def number(key: str) -> int:
    """How many there are in the present window."""
    rows = Tally.objects.filter(key=key, ends_at__gt=timezone.now())
    return rows.values_list("number", flat=True).first() or 0


def take_back(key: str) -> None:
    """Undo one count."""
    Tally.objects.filter(key=key, number__gt=0).update(number=F("number") - 1)
