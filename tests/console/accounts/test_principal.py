"""Who may do what in which team."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User

from console import roles
from console.accounts.principal import for_user
from console.errors import Forbidden
from console.models import Team


def test_an_owner_may_do_all_that_an_editor_may(alice: User, team: Team) -> None:
    assert for_user(alice).may(team.pk, roles.EDITOR)


def test_a_viewer_is_told_which_role_is_missing(bob: User, team: Team) -> None:
    with pytest.raises(Forbidden, match="needs the role editor in team vision"):
        for_user(bob).require(team, roles.EDITOR)


def test_a_stranger_may_not_even_look(charlie: User, team: Team) -> None:
    assert not for_user(charlie).may(team.pk, roles.VIEWER)


def test_an_administrator_may_do_everything(admin: User, team: Team) -> None:
    for_user(admin).require(team, roles.OWNER)


@pytest.mark.django_db
def test_nobody_has_no_scope() -> None:
    assert for_user(AnonymousUser()).scopes == frozenset()
