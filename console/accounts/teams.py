"""The write layer of teams and accounts: administrators make both, owners manage who is in their team.

Signing in is Django's own; what a role allows is in console/roles.py.
"""

from __future__ import annotations

import secrets

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, QuerySet

from console import roles
from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields
from console.models import TEAM_NAME, Membership, Team


def visible_to(actor: Principal) -> QuerySet[Team]:
    """The teams that `actor` is in; all of them for an administrator."""
    return Team.objects.all() if actor.is_admin else Team.objects.filter(pk__in=list(actor.roles))


def editable_by(actor: Principal) -> QuerySet[Team]:
    """The teams in which `actor` may create things."""
    if actor.is_admin:
        return Team.objects.all()
    return Team.objects.filter(pk__in=[pk for pk in actor.roles if actor.may(pk, roles.EDITOR)])


def create(*, name: str, actor: Principal) -> Team:
    """A new team without members. Raises InvalidFields."""
    actor.require_admin()
    try:
        TEAM_NAME(name)
    except ValidationError as error:
        raise InvalidFields({"name": error.messages}) from error
    try:
        with transaction.atomic():
            return Team.objects.create(name=name)
    except IntegrityError:
        raise InvalidFields({"name": f"There is already a team named {name}."}) from None


def delete(team: Team, *, actor: Principal, confirm: str) -> None:
    """Deletes a team with its memberships and keys. Raises Conflict while it owns services or datasets."""
    actor.require_admin()
    if confirm != team.name:
        raise InvalidFields({"confirm": f"Type the name of the team, {team.name}, to delete it."})
    try:
        with transaction.atomic():
            team.delete()
    except ProtectedError:
        raise Conflict(f"Team {team.name} still owns services or datasets.", hint="Delete those first.") from None


def add_member(team: Team, *, username: str, role: str, actor: Principal) -> Membership:
    """Raises InvalidFields for an unknown account or role, and for somebody who is a member already."""
    actor.require(team, roles.OWNER)
    errors: dict[str, str] = {}
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        errors["username"] = f"There is no account named {username}. An administrator makes accounts."
    if role not in roles.RANK:
        errors["role"] = _unknown(role)
    if errors or user is None:
        raise InvalidFields(errors)
    try:
        with transaction.atomic():
            return Membership.objects.create(team=team, user=user, role=role)
    except IntegrityError:
        raise InvalidFields({"username": f"{username} is in team {team.name} already."}) from None


def set_role(membership: Membership, role: str, *, actor: Principal) -> Membership:
    """Raises Conflict when the team would lose its last owner."""
    actor.require(membership.team, roles.OWNER)
    if role not in roles.RANK:
        raise InvalidFields({"role": _unknown(role)})
    with transaction.atomic():
        if role != roles.OWNER:
            _require_another_owner(membership, actor)
        membership.role = role
        membership.save(update_fields=["role"])
    return membership


def remove_member(membership: Membership, *, actor: Principal) -> None:
    """Raises Conflict when the team's last owner would be gone. Everybody may leave a team."""
    if membership.user.pk != actor.user_id:
        actor.require(membership.team, roles.OWNER)
    with transaction.atomic():
        _require_another_owner(membership, actor)
        membership.delete()


def _require_another_owner(membership: Membership, actor: Principal) -> None:
    """An administrator may leave a team without an owner: they are one of every team."""
    Team.objects.select_for_update().get(pk=membership.team.pk)  # two owners must not step down at once
    others = Membership.objects.filter(team=membership.team, role=roles.OWNER).exclude(pk=membership.pk)
    if membership.role == roles.OWNER and not actor.is_admin and not others.exists():
        raise Conflict(
            f"{membership.user.get_username()} is the last owner of team {membership.team.name}.",
            hint="Make someone else an owner first.",
        )


def create_user(*, username: str, actor: Principal) -> tuple[User, str]:
    """A new account and its first password, which is shown once. Raises InvalidFields."""
    actor.require_admin()
    try:
        User.username_validator(username)
    except ValidationError as error:
        raise InvalidFields({"username": error.messages}) from error
    if not username or len(username) > 150:
        raise InvalidFields({"username": "Use 1 to 150 characters."})
    password = secrets.token_urlsafe(12)
    try:
        with transaction.atomic():
            return User.objects.create_user(username, password=password), password
    except IntegrityError:
        raise InvalidFields({"username": f"There is already an account named {username}."}) from None


def reset_password(user: User, *, actor: Principal) -> str:
    """A new password, which is shown once; every session of the account ends."""
    actor.require_admin()
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save(update_fields=["password"])
    return password


def set_active(user: User, active: bool, *, actor: Principal) -> User:
    """An account that is not active cannot sign in, and its sessions end."""
    actor.require_admin()
    if user.pk == actor.user_id:
        raise Conflict("You cannot switch off your own account.")
    user.is_active = active
    user.save(update_fields=["is_active"])
    return user


def _unknown(role: str) -> str:
    return f"There is no role {role!r}. Choose one of: {', '.join(roles.RANK)}."
