"""API keys: make, check, rotate, revoke. Each says whether the gateway has the change."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from console import roles
from console.accounts import bounds
from console.accounts.principal import PresentedKey, Principal
from console.errors import Conflict, Forbidden, InvalidFields, collected
from console.models import Team
from services.actions import delivery, key_bounds, key_shares
from services.actions.delivery import Delivery
from services.actions.key_bounds import LIMITS, Rights
from services.gateway import keys as key_format
from services.models import ApiKey

USED_EVERY = timedelta(minutes=1)
"""`last_used_at` is written at most this often: a busy key must not turn every request into a write."""
BATCH = 500
"""Rows of one statement: databases bound its parameters."""


@dataclass(frozen=True)
class NewKey:
    """A new key's row, and the key itself, which is stored nowhere."""

    row: ApiKey
    key: str
    gateway: Delivery
    """Whether the gateway has it."""


@dataclass(frozen=True)
class Revoked:
    row: ApiKey
    children: tuple[ApiKey, ...]
    """Revoked with it."""
    gateway: Delivery
    """Whether the gateway now rejects all of them."""


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
) -> NewKey:
    """Raises InvalidFields naming every wrong field. A key that makes one is its parent, and its bound."""
    actor.require(team, roles.EDITOR)
    limits = dict(zip(LIMITS, (rate_limit_per_minute, tokens_per_minute, max_concurrent), strict=True))
    rights = Rights(tuple(scopes), tuple(services), (), expires_at, limits, all_teams)
    rights = key_bounds.inherit(rights, actor.key)
    errors: dict[str, list[str]] = {}
    if not name.strip() or len(name) > 63:
        errors["name"] = ["Give it a name of 1 to 63 characters, so that people know what uses it."]
    with collected(errors):
        rights = key_bounds.bind(rights, team)
    errors = {**key_bounds.problems(rights, actor), **errors}
    if errors:
        raise InvalidFields(errors)
    return _make(team, name, rights, actor=actor)


def _make(team: Team, name: str, rights: Rights, *, actor: Principal, replaces: ApiKey | None = None) -> NewKey:
    new = key_format.generate()
    with transaction.atomic():
        bounds.require_room(team, bounds.KEYS, ApiKey.objects.live().filter(team=team), actor=actor)
        parent = _lock_live(actor, replaces)
        shares = key_shares.of(new.id, rights.limits["max_concurrent"], parent, replaces)
        if len(shares.get(key_shares.SLOTS, ())) > key_shares.DEEPEST:
            message = f"Must equal the parent's limit: keys nest at most {key_shares.DEEPEST} limits deep."
            raise InvalidFields({"max_concurrent": [message]})
        row = ApiKey.objects.create(
            team=team,
            name=name,
            key_id=new.id,
            digest=new.digest,
            scopes=sorted(set(rights.scopes)),
            services=list(rights.services),
            service_ids=list(rights.service_ids),
            expires_at=rights.expires_at,
            **rights.limits,
            shares=shares,
            all_teams=rights.all_teams,
            created_by=actor.label,
            replaces=replaces,
            parent=_parent(parent, replaces),
        )
    return NewKey(row, new.key, delivery.carry_out([row]))


def _parent(acting: ApiKey | None, replaced: ApiKey | None) -> ApiKey | None:
    """A replacement stays where the replaced key is in the tree, or below a key that rotates itself."""
    if replaced is None or (acting and acting.pk == replaced.pk):
        return acting
    return replaced.parent


def _lock_live(actor: Principal, replaces: ApiKey | None) -> ApiKey | None:
    """The key that acts. Raises Conflict if it, or the replaced key, was revoked since it was read.

    Locks the keys above it as well, so that `revoke` of one of them waits for the new key, or refuses it.
    """
    pks = {pk for pk in (actor.key and actor.key.pk, replaces and replaces.pk) if pk}
    every = sorted(pks | ApiKey.objects.above(pks))
    rows = [row for row in _lock(every) if row.pk in pks]
    if any(row.revoked_at for row in rows) or len(rows) < len(pks):
        raise Conflict("The key was revoked meanwhile; make a new key instead.")
    return next((row for row in rows if actor.key and row.pk == actor.key.pk), None)


def _lock(pks: Sequence[int]) -> list[ApiKey]:
    """Lock in the order of primary keys, as every caller must: parents come before children."""
    batches = (sorted(pks)[at : at + BATCH] for at in range(0, len(pks), BATCH))
    return [row for batch in batches for row in ApiKey.objects.select_for_update().filter(pk__in=batch).order_by("pk")]


def rotate(row: ApiKey, *, actor: Principal) -> NewKey:
    """A second key with the same rights. The old one goes on working until it is revoked: clients can change over.

    A key rotates itself and the keys below it: the limits of any other would come on top of its own (Forbidden). It
    gets none that may do more than itself: InvalidFields names what would be more.
    """
    actor.require(row.team, roles.EDITOR)
    if row.revoked_at:
        raise Conflict(f"{row.name} was revoked; make a new key instead.")
    rights = Rights.of(row)
    if errors := key_bounds.problems(rights, actor):
        raise InvalidFields(errors)
    if actor.key and row.pk != actor.key.pk and actor.key.pk not in ApiKey.objects.above([row.pk]):
        raise Forbidden("A key rotates only itself and the keys that it created.")
    return _make(row.team, row.name, rights, actor=actor, replaces=row)


def revoke(row: ApiKey, *, actor: Principal, children: bool = True) -> Revoked:
    """Refuse its requests from now on, at the gateway and at the REST API. Idempotent.

    Open streams at the gateway end within STREAM_MAX_SECONDS.

    The keys that it made go with it unless `children` is False: a key is revoked because it leaked, mostly, and then
    they are in the same hands. The key that asks stays, and so does the successor of one that revokes itself.
    """
    actor.require(row.team, roles.EDITOR)
    if row.all_teams and not actor.is_admin:
        raise Forbidden(f"{row.name} opens every team's services: only an administrator may revoke it.")
    with transaction.atomic():
        _lock([row.pk])  # neither it nor a key below it makes more keys from here on
        below = _children_to_revoke(row, actor) if children else []
        now, pks = timezone.now(), [row.pk, *(child.pk for child in below)]
        _lock(pks)
        for at in range(0, len(pks), BATCH):
            ApiKey.objects.filter(pk__in=pks[at : at + BATCH], revoked_at=None).update(revoked_at=now)
    row.refresh_from_db()
    for child in below:
        child.revoked_at = now
    return Revoked(row, tuple(below), delivery.carry_out([row, *below]))


def _children_to_revoke(row: ApiKey, actor: Principal) -> list[ApiKey]:
    """The live keys below `row`, without the acting key and its successor."""
    presented = actor.key.pk if actor.key else None
    stay = {presented}
    if presented == row.pk:
        stay |= set(row.replaced_by.values_list("pk", flat=True))
    below = set(ApiKey.objects.below([row.pk], without=stay)[row.pk])
    return [child for child in ApiKey.objects.live().exclude(parent=None) if child.pk in below] if below else []


def authenticate(key: str) -> Principal | None:
    """Who a presented key stands for at the REST API; None when it is malformed, unknown, revoked or expired."""
    key_id = key_format.parse(key)
    row = ApiKey.objects.live().select_related("team").filter(key_id=key_id).first() if key_id else None
    if row is None or not hmac.compare_digest(row.digest, key_format.digest(key)):
        return None
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return principal(row)


def principal(row: ApiKey) -> Principal:
    return Principal(
        label=f"key {row.name} (isk_{row.key_id})",
        is_admin=row.all_teams,
        roles=_roles(row),
        scopes=frozenset(row.scopes),
        services=frozenset(row.service_ids or [0]) if row.services else None,
        key=PresentedKey(row.pk, row.expires_at, {limit: getattr(row, limit) for limit in LIMITS}),
    )


def _roles(row: ApiKey) -> Mapping[int, str]:
    """A key that may manage is an editor of its team; any other looks."""
    return {row.team_id: roles.EDITOR if "manage" in row.scopes else roles.VIEWER}


def fields_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `create` in a form's or request's cleaned data."""
    names = ("name", "scopes", "services", "expires_at", *LIMITS, "all_teams")
    return {name: data[name] for name in names if name in data}
