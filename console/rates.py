"""How often somebody may ask for what costs others something. Counted in the memory of the process, as logins are."""

from __future__ import annotations

import hashlib

from django.core.cache import cache

from console.errors import ConsoleError


class TooOften(ConsoleError):
    code = "too_often"
    status = 429


def count(what: str, who: str, *, most: int, seconds: int) -> None:
    """Counts one more. Raises TooOften when `who` did it `most` times within `seconds` already."""
    key = "rate:" + hashlib.sha256(f"{what}\0{who}".encode()).hexdigest()
    cache.add(key, 0, seconds)
    try:
        number = cache.incr(key)
    except ValueError:  # it ran out between the two
        cache.set(key, 1, seconds)
        number = 1
    if number > most:
        raise TooOften(f"{who} did this {most} times within {seconds} seconds.", hint="Wait a minute, then try again.")
