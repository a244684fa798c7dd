"""Teams and accounts: administrators make them, owners manage members, and a team keeps an owner."""

from __future__ import annotations

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User

from console import roles
from console.accounts import teams
from console.accounts.principal import for_user
from console.errors import Conflict, Forbidden, InvalidFields
from console.models import Membership, Team
from datasets.models import Dataset


def test_an_administrator_makes_a_team(admin: User) -> None:
    assert teams.create(name="nlp", actor=for_user(admin)).name == "nlp"


@pytest.mark.parametrize("name", ["", "Vision", "-a", "a b", "x" * 64])
def test_a_team_needs_a_name_that_fits_an_address(admin: User, name: str) -> None:
    with pytest.raises(InvalidFields) as error:
        teams.create(name=name, actor=for_user(admin))
    assert list(error.value.errors) == ["name"]
    assert not Team.objects.exists()


def test_a_team_name_is_given_once(admin: User, team: Team) -> None:
    with pytest.raises(InvalidFields, match="already a team named vision"):
        teams.create(name=team.name, actor=for_user(admin))


def test_an_owner_makes_neither_teams_nor_accounts(alice: User) -> None:
    with pytest.raises(Forbidden):
        teams.create(name="nlp", actor=for_user(alice))
    with pytest.raises(Forbidden):
        teams.create_user(username="dora", actor=for_user(alice))
    with pytest.raises(Forbidden):
        teams.reset_password(alice, actor=for_user(alice))


def test_an_owner_adds_a_member(alice: User, charlie: User, team: Team) -> None:
    teams.add_member(team, username="charlie", role=roles.EDITOR, actor=for_user(alice))
    assert for_user(charlie).may(team.pk, roles.EDITOR)


def test_a_viewer_adds_nobody(alice: User, bob: User, charlie: User, team: Team) -> None:
    with pytest.raises(Forbidden):
        teams.add_member(team, username="charlie", role=roles.VIEWER, actor=for_user(bob))


def test_every_wrong_field_of_a_new_member_is_named(alice: User, team: Team) -> None:
    with pytest.raises(InvalidFields) as error:
        teams.add_member(team, username="nobody", role="king", actor=for_user(alice))
    assert set(error.value.errors) == {"username", "role"}


def test_a_member_is_not_added_twice(alice: User, bob: User, team: Team) -> None:
    with pytest.raises(InvalidFields, match="already"):
        teams.add_member(team, username="bob", role=roles.OWNER, actor=for_user(alice))
    assert Membership.objects.get(user=bob).role == roles.VIEWER


def test_the_last_owner_neither_leaves_nor_steps_down(alice: User, bob: User) -> None:
    membership = Membership.objects.get(user=alice)
    with pytest.raises(Conflict, match="last owner"):
        teams.remove_member(membership, actor=for_user(alice))
    with pytest.raises(Conflict, match="last owner"):
        teams.set_role(membership, roles.VIEWER, actor=for_user(alice))
    teams.set_role(Membership.objects.get(user=bob), roles.OWNER, actor=for_user(alice))
    teams.remove_member(membership, actor=for_user(alice))
    assert not Membership.objects.filter(user=alice).exists()


def test_a_viewer_may_leave_but_remove_nobody_else(alice: User, bob: User) -> None:
    with pytest.raises(Forbidden):
        teams.remove_member(Membership.objects.get(user=alice), actor=for_user(bob))
    teams.remove_member(Membership.objects.get(user=bob), actor=for_user(bob))
    assert not Membership.objects.filter(user=bob).exists()


def test_a_team_that_owns_something_is_not_deleted(admin: User, team: Team) -> None:
    Dataset.objects.create(team=team, name="models", kind="local", created_by="alice")
    with pytest.raises(Conflict, match="still owns"):
        teams.delete(team, actor=for_user(admin), confirm=team.name)
    assert Team.objects.filter(pk=team.pk).exists()


def test_a_team_is_deleted_only_with_its_name_typed(admin: User, team: Team) -> None:
    with pytest.raises(InvalidFields, match="Type the name"):
        teams.delete(team, actor=for_user(admin), confirm="visio")
    teams.delete(team, actor=for_user(admin), confirm="vision")
    assert not Team.objects.exists()


def test_a_new_account_signs_in_with_the_password_that_was_shown(admin: User) -> None:
    user, password = teams.create_user(username="dora", actor=for_user(admin))
    assert authenticate(username="dora", password=password) == user
    second = teams.reset_password(user, actor=for_user(admin))
    assert authenticate(username="dora", password=password) is None
    assert authenticate(username="dora", password=second) == user


@pytest.mark.parametrize("username", ["", "a b", "x" * 151, "root"])
def test_an_account_needs_a_free_and_plain_name(admin: User, username: str) -> None:
    with pytest.raises(InvalidFields) as error:
        teams.create_user(username=username, actor=for_user(admin))
    assert list(error.value.errors) == ["username"]


def test_an_account_that_is_off_cannot_sign_in(admin: User, alice: User) -> None:
    teams.set_active(alice, False, actor=for_user(admin))
    assert authenticate(username="alice", password="alice") is None
    with pytest.raises(Conflict, match="your own account"):
        teams.set_active(admin, False, actor=for_user(admin))


def test_teams_are_seen_by_their_members_and_administrators(
    alice: User, charlie: User, admin: User, team: Team, other_team: Team
) -> None:
    assert list(teams.visible_to(for_user(alice))) == [team]
    assert list(teams.visible_to(for_user(charlie))) == [other_team]
    assert set(teams.visible_to(for_user(admin))) == {team, other_team}
