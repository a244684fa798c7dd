"""How many things a team may have at most, so that one team cannot take what all share. Administrators set it.

A team without a number of its own has the installation's (settings.TEAM_BOUNDS). What the console makes itself counts,
but is not refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet

from console.accounts.principal import SYSTEM, Principal
from console.errors import Conflict, InvalidFields
from console.models import Team

SERVICES: Final = "services"
DATASETS: Final = "datasets"
KEYS: Final = "keys"
PREHEATS: Final = "preheats"
KINDS: Final = {
    SERVICES: "services",
    DATASETS: "datasets",
    KEYS: "API keys that are neither revoked nor expired",
    PREHEATS: "preheats under way or waiting",
}
MOST: Final = 1_000_000


def most(team: Team, kind: str) -> int:
    own: int | None = getattr(team, f"most_{kind}")
    return int(settings.TEAM_BOUNDS[kind]) if own is None else own


def require_room(team: Team, kind: str, rows: QuerySet[Any], *, actor: Principal) -> None:
    """Raises Conflict when `team` has as many as it may. `rows`: those that it has.

    Call inside the transaction that makes one more: the team's row is locked until its end, so that of two at once
    only one is the last.
    """
    if actor is SYSTEM:
        return
    row = Team.objects.select_for_update().get(pk=team.pk)
    bound = most(row, kind)
    if rows.count() >= bound:
        raise Conflict(
            f"Team {team.name} has {bound} {KINDS[kind]}, the most it may have.",
            hint="Remove some, or ask an administrator to raise this.",
        )


def change(team: Team, bounds: Mapping[str, int | None], *, actor: Principal) -> Team:
    """None: the installation's. Nothing is removed from a team that has more. Raises InvalidFields."""
    actor.require_admin()
    errors = {
        f"bounds.{kind}": f"Must be a whole number from 0 to {MOST}, or empty for what the installation has."
        for kind, bound in bounds.items()
        if kind in KINDS and bound is not None and (isinstance(bound, bool) or not 0 <= bound <= MOST)
    }
    if errors:
        raise InvalidFields(errors)
    fields = {f"most_{kind}": bound for kind, bound in bounds.items() if kind in KINDS}
    for name, bound in fields.items():
        setattr(team, name, bound)
    team.save(update_fields=list(fields))
    return team
