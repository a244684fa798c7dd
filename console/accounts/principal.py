"""Who acts: a person in a session, an API key, or the console itself. Every action takes one as `actor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from console import roles
from console.errors import Forbidden

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from rest_framework.request import Request

    from console.models import Team

INFER = "infer"
READ = "read"
MANAGE = "manage"
ALL_SCOPES = frozenset({INFER, READ, MANAGE})


@dataclass(frozen=True)
class PresentedKey:
    """The API key that acts: whatever it hands on is bounded by this."""

    pk: int
    expires_at: datetime | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)
    """By field of the key; None is no limit."""


@dataclass(frozen=True)
class Principal:
    label: str
    """How events name it: `alice`, `key ci (isk_4fK...)`, `console`."""
    is_admin: bool = False
    roles: Mapping[int, str] = field(default_factory=dict)
    """Team primary key -> role."""
    scopes: frozenset[str] = ALL_SCOPES
    services: frozenset[int] | None = None
    """Primary keys of the only services that a key may touch, 0 for one that is gone. None: no restriction."""
    user_id: int | None = None
    key: PresentedKey | None = None
    """None for people and for the console itself."""

    @property
    def restricted(self) -> bool:
        return self.services is not None

    def may(self, team_id: int, role: str) -> bool:
        if self.is_admin:
            return True
        return roles.RANK.get(self.roles.get(team_id, ""), 0) >= roles.RANK[role]

    def require(self, team: Team, role: str) -> None:
        """Raises Forbidden, naming the role that is missing."""
        if not self.may(team.pk, role):
            raise Forbidden(
                f"{self.label} needs the role {role} in team {team.name} for this.", hint="Ask an owner of the team."
            )

    def require_admin(self) -> None:
        if not self.is_admin:
            raise Forbidden("Only an administrator may do this.")


SYSTEM = Principal(label="console", is_admin=True)


def for_user(user: User | AbstractBaseUser | AnonymousUser) -> Principal:
    """The principal of a logged-in person; of nobody, one that may do nothing."""
    if not user.is_authenticated or user.pk is None:
        return Principal(label="nobody", scopes=frozenset())
    from console.models import Membership

    memberships = Membership.objects.filter(user_id=user.pk).values_list("team_id", "role")
    return Principal(
        label=user.get_username(),
        is_admin=bool(getattr(user, "is_superuser", False)),
        roles=dict(memberships),
        user_id=user.pk,
    )


def actor_of(request: Request) -> Principal:
    """Who sent an API request: the key's principal, or the session's."""
    return request.auth if isinstance(request.auth, Principal) else for_user(request.user)
