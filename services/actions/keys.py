"""API keys: make, check, rotate, revoke. A change reaches the gateway before the answer reaches the person."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from console import roles
from console.errors import Conflict, Forbidden, InvalidFields
from console.models import Team
from console.principal import ALL_SCOPES, Principal
from services.actions import publishing
from services.gateway import keys as format
from services.models import ApiKey, Service

USED_EVERY = timedelta(minutes=1)
"""`last_used_at` is written at most this often: a busy key must not turn every request into a write."""
LIMITS = ("rate_limit_per_minute", "tokens_per_minute", "max_concurrent")
MOST = 10**9
"""Of any limit. Envoy refuses a configuration, and so everybody's changes, with one that 32 bits do not hold."""


@dataclass(frozen=True)
class Made:
    """A new key's row and the key itself, which exists nowhere else after this."""

    row: ApiKey
    key: str


def create(
    *,
    team: Team,
    name: str,
    scopes: Sequence[str] = ("infer",),
    services: Sequence[str] = (),
    expires_at: datetime | None = None,
    rate_limit_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    max_concurrent: int | None = None,
    all_teams: bool = False,
    actor: Principal,
    replaces: ApiKey | None = None,
) -> Made:
    actor.require(team, roles.EDITOR)
    limits = dict(zip(LIMITS, (rate_limit_per_minute, tokens_per_minute, max_concurrent), strict=True))
    _check(team, name, scopes, services, expires_at, limits, all_teams, actor)
    new = format.generate()
    with transaction.atomic():
        row = ApiKey.objects.create(
            team=team,
            name=name,
            key_id=new.id,
            digest=new.digest,
            scopes=sorted(set(scopes)),
            services=sorted(set(services)),
            expires_at=expires_at,
            **limits,
            all_teams=all_teams,
            created_by=actor.label,
            replaces=replaces,
        )
        transaction.on_commit(publishing.publish_now)
    return Made(row, new.key)


def _check(
    team: Team,
    name: str,
    scopes: Sequence[str],
    services: Sequence[str],
    expires_at: datetime | None,
    limits: Mapping[str, int | None],
    all_teams: bool,
    actor: Principal,
) -> None:
    errors: dict[str, list[str]] = {}
    if not name.strip() or len(name) > 63:
        errors["name"] = ["Give it a name of 1 to 63 characters, so that people know what uses it."]
    if unknown := sorted(set(scopes) - ALL_SCOPES):
        errors["scopes"] = [f"Unknown: {', '.join(unknown)}. Choose from: infer, manage, read."]
    elif not scopes:
        errors["scopes"] = ["Choose at least one of: infer, manage, read."]
    elif not set(scopes) <= actor.scopes:
        errors["scopes"] = ["A key cannot make a key that may do more than itself."]
    known = set(Service.objects.filter(team=team, name__in=services).values_list("name", flat=True))
    if missing := sorted(set(services) - known):
        errors["services"] = [f"Team {team.name} has no service named {', '.join(missing)}."]
    elif actor.services and not (services and set(services) <= actor.services):
        errors["services"] = [f"A key for {', '.join(sorted(actor.services))} cannot make one for more than that."]
    if expires_at and expires_at <= timezone.now():
        errors["expires_at"] = ["Lies in the past."]
    for limit, value in limits.items():
        if value is not None and not 1 <= value <= MOST:
            errors[limit] = [f"Must be from 1 to {MOST:,}; leave it empty for no limit."]
    if all_teams and not actor.is_admin:
        errors["all_teams"] = ["Only an administrator may make a key for every team."]
    if errors:
        raise InvalidFields(errors)


def revoke(row: ApiKey, *, actor: Principal) -> ApiKey:
    """Refused from now on, at the gateway and at the REST API. Doing it twice is fine."""
    actor.require(row.team, roles.EDITOR)
    if row.all_teams and not actor.is_admin:
        raise Forbidden(f"{row.name} opens every team's services: only an administrator may revoke it.")
    with transaction.atomic():
        ApiKey.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=timezone.now())
        transaction.on_commit(publishing.publish_now)
    row.refresh_from_db()
    return row


def rotate(row: ApiKey, *, actor: Principal) -> Made:
    """A second key with the same rights. The old one goes on working until it is revoked: clients can change over."""
    if row.revoked_at:
        raise Conflict(f"{row.name} was revoked; make a new key instead.")
    return create(
        team=row.team,
        name=row.name,
        scopes=row.scopes,
        services=row.services,
        expires_at=row.expires_at,
        **{limit: getattr(row, limit) for limit in LIMITS},
        all_teams=row.all_teams,
        actor=actor,
        replaces=row,
    )


def authenticate(key: str) -> Principal | None:
    """Who a presented key stands for at the REST API; None when it is malformed, unknown, revoked or expired."""
    key_id = format.parse(key)
    row = ApiKey.objects.live().select_related("team").filter(key_id=key_id).first() if key_id else None
    if row is None or not hmac.compare_digest(row.digest, format.digest(key)):
        return None
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return Principal(
        label=f"key {row.name} (isk_{row.key_id})",
        is_admin=row.all_teams,
        roles=_roles(row),
        scopes=frozenset(row.scopes),
        services=frozenset(row.services),
    )


def _roles(row: ApiKey) -> Mapping[int, str]:
    """A key that may manage is an editor of its team; any other looks."""
    return {row.team_id: roles.EDITOR if "manage" in row.scopes else roles.VIEWER}


def fields_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `create` in a form's or request's cleaned data."""
    names = ("name", "scopes", "services", "expires_at", *LIMITS, "all_teams")
    return {name: data[name] for name in names if name in data}
