"""What a new key may be: good in itself, and nothing that the key which makes it is not.

A person hands out what their role allows. A key hands out no more than itself: it expires no later, its limits are no
wider, it has no other scopes, services or teams. What is left out is inherited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from django.utils import timezone

from console.accounts.principal import ALL_SCOPES, PresentedKey, Principal
from console.errors import InvalidFields
from console.models import Team
from services.models import ApiKey, Service

LIMITS: Final = ("rate_limit_per_minute", "tokens_per_minute", "max_concurrent")
MOST: Final = 10**9
"""Upper bound for any limit. Envoy rejects the whole configuration if a value overflows uint32."""
_WHAT: Final = dict(zip(LIMITS, ("requests a minute", "tokens a minute", "requests at once"), strict=True))


@dataclass(frozen=True)
class Rights:
    """What a key may do."""

    scopes: tuple[str, ...] = ("infer",)
    services: tuple[str, ...] = ()
    """Names. Empty: every service of the team."""
    service_ids: tuple[int, ...] = ()
    """Their primary keys, in the same order."""
    expires_at: datetime | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)
    all_teams: bool = False

    @classmethod
    def of(cls, row: ApiKey) -> Rights:
        limits = {limit: getattr(row, limit) for limit in LIMITS}
        return cls(
            tuple(row.scopes), tuple(row.services), tuple(row.service_ids), row.expires_at, limits, row.all_teams
        )


def inherit(rights: Rights, key: PresentedKey | None) -> Rights:
    """With what was left out filled in from the key that makes it."""
    if key is None:
        return rights
    limits = {
        limit: key.limits.get(limit) if rights.limits.get(limit) is None else rights.limits[limit] for limit in LIMITS
    }
    return replace(rights, expires_at=rights.expires_at or key.expires_at, limits=limits)


def bind(rights: Rights, team: Team) -> Rights:
    """With the primary keys of the services named. Raises InvalidFields for a name that the team has no service of."""
    names = tuple(sorted(set(rights.services)))
    ids_by_name = dict(Service.objects.filter(team=team, name__in=names).values_list("name", "pk"))
    if missing := sorted(set(names) - ids_by_name.keys()):
        raise InvalidFields({"services": [f"Team {team.name} has no service named {', '.join(missing)}."]})
    return replace(rights, services=names, service_ids=tuple(ids_by_name[name] for name in names))


def problems(rights: Rights, actor: Principal) -> dict[str, list[str]]:
    """Field -> what is wrong with it."""
    errors: dict[str, list[str]] = {}
    if unknown := sorted(set(rights.scopes) - ALL_SCOPES):
        errors["scopes"] = [f"Unknown: {', '.join(unknown)}. Choose from: infer, manage, read."]
    elif not rights.scopes:
        errors["scopes"] = ["Choose at least one of: infer, manage, read."]
    elif not set(rights.scopes) <= actor.scopes:
        errors["scopes"] = ["A key cannot make a key that may do more than itself."]
    if actor.services is not None and not (rights.service_ids and set(rights.service_ids) <= actor.services):
        errors["services"] = ["A key for some services cannot make one for more than those."]
    if rights.expires_at and rights.expires_at <= timezone.now():
        errors["expires_at"] = ["Must be in the future."]
    for limit, value in rights.limits.items():
        if value is not None and not 1 <= value <= MOST:
            errors[limit] = [f"Must be from 1 to {MOST:,}; leave it empty for no limit."]
    if rights.all_teams and not actor.is_admin:
        errors["all_teams"] = ["Only an administrator may make a key for every team."]
    if actor.key is not None:
        errors = {**dict(_wider(rights, actor.key)), **errors}
    return errors


def _wider(rights: Rights, key: PresentedKey) -> Iterable[tuple[str, list[str]]]:
    if key.expires_at and (rights.expires_at is None or rights.expires_at > key.expires_at):
        yield "expires_at", [f"Must be at or before {key.expires_at:%Y-%m-%dT%H:%M:%SZ}, when this key itself expires."]
    for limit, most in key.limits.items():
        value = rights.limits.get(limit)
        if most is not None and (value is None or value > most):
            yield limit, [f"Must be at most {most:,}: this key itself may have {most:,} {_WHAT[limit]}."]
