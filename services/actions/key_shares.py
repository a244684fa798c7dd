"""Whose limits a key takes from: `{"rate": key id, "tokens": key id, "slots": [[key id, requests at once], ...]}`.

A key that was rotated goes on with the limits of the one before it: to rotate refills nothing. A key that another one
made takes from the limits that this one has, besides being bounded by its own: ten children do not make ten of a limit.
Requests and tokens a minute are counted in one bucket for all of them, of which a request of a key with a smaller limit
takes a larger share. Requests at once pass the limit of the key itself, and then of those above it. What is not named
here is the key's own.
"""

from __future__ import annotations

from typing import Any, Final

from services.models import ApiKey

RATE, TOKENS, SLOTS = "rate", "tokens", "slots"
_FIELDS: Final = {RATE: "rate_limit_per_minute", TOKENS: "tokens_per_minute"}
DEEPEST: Final = 3
"""Limits of requests at once that one request passes: each is a way through the gateway of its own."""


def of(key_id: str, max_concurrent: int | None, parent: ApiKey | None, replaced: ApiKey | None) -> dict[str, Any]:
    """For a new key of this id that `parent` makes, or that replaces another one."""
    source = replaced or parent
    if source is None:
        return {}
    shares: dict[str, Any] = {
        kind: source.shares.get(kind, source.key_id)
        for kind, field in _FIELDS.items()
        if getattr(source, field) is not None
    }
    above = slots(source)
    if above and max_concurrent is not None:
        own = [] if replaced or max_concurrent == source.max_concurrent else [[key_id, max_concurrent]]
        shares[SLOTS] = [*own, *above]
    return shares


def slots(row: ApiKey) -> list[list[Any]]:
    """The limits of requests at once that its requests pass, its own first."""
    own = [[row.key_id, row.max_concurrent]] if row.max_concurrent is not None else []
    return list(row.shares.get(SLOTS, own))
