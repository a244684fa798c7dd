"""API keys: shown once, kept as digests, refused the moment they are revoked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden, InvalidFields
from console.models import Team
from services.actions import keys
from services.actions.keys import NewKey
from services.control import publishing
from services.gateway.snapshot import Snapshot
from services.models import ApiKey


@pytest.fixture
def actor(alice: User) -> Principal:
    return for_user(alice)


@pytest.fixture
def new_key(team: Team, actor: Principal, published: list[Snapshot]) -> NewKey:
    return keys.create(team=team, name="ci", scopes=["infer", "read"], actor=actor)


def test_the_key_itself_is_nowhere_in_the_database(new_key: NewKey) -> None:
    stored = " ".join(str(value) for value in ApiKey.objects.values_list()[0])
    assert new_key.key not in stored
    assert new_key.key.rpartition("_")[2] not in stored


def test_a_key_stands_for_its_team_with_its_scopes(new_key: NewKey, team: Team) -> None:
    principal = keys.authenticate(new_key.key)
    assert principal is not None
    assert principal.scopes == {"infer", "read"}
    assert principal.may(team.pk, "viewer")
    assert not principal.may(team.pk, "editor")


def test_a_key_that_manages_is_an_editor(team: Team, actor: Principal, published: list[Snapshot]) -> None:
    principal = keys.authenticate(keys.create(team=team, name="ci", scopes=["manage"], actor=actor).key)
    assert principal is not None
    assert principal.may(team.pk, "editor")


@pytest.mark.parametrize("change", ["x", "", "isk_", "isk_nothing_nothing"])
def test_anything_that_is_not_the_key_is_nobody(new_key: NewKey, change: str) -> None:
    assert keys.authenticate(change) is None
    swapped = new_key.key[:-8] + ("a" if new_key.key[-8] != "a" else "b") + new_key.key[-7:]
    assert keys.authenticate(swapped) is None


def test_a_revoked_key_is_nobody_and_leaves_the_gateway(new_key: NewKey, actor: Principal) -> None:
    assert [key.id for key in publishing.snapshot().keys] == [new_key.row.key_id]
    keys.revoke(new_key.row, actor=actor)
    assert keys.authenticate(new_key.key) is None
    assert publishing.snapshot().keys == ()


def test_an_expired_key_is_nobody_and_leaves_the_gateway(new_key: NewKey) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert keys.authenticate(new_key.key) is None
    assert publishing.snapshot().keys == ()


def test_rotating_leaves_the_old_key_working_until_it_is_revoked(new_key: NewKey, actor: Principal) -> None:
    new = keys.rotate(new_key.row, actor=actor)
    assert new.key != new_key.key
    assert new.row.replaces == new_key.row
    assert keys.authenticate(new_key.key) is not None
    keys.revoke(new_key.row, actor=actor)
    assert keys.authenticate(new.key) is not None


def test_a_revoked_key_is_not_rotated(new_key: NewKey, actor: Principal) -> None:
    with pytest.raises(Conflict, match="revoked"):
        keys.rotate(keys.revoke(new_key.row, actor=actor).row, actor=actor)


@pytest.mark.parametrize("person", ["bob", "charlie"])
def test_a_viewer_and_a_stranger_make_and_revoke_none(
    person: str, new_key: NewKey, team: Team, request: pytest.FixtureRequest
) -> None:
    other = for_user(request.getfixturevalue(person))
    with pytest.raises(Forbidden):
        keys.create(team=team, name="mine", actor=other)
    with pytest.raises(Forbidden):
        keys.revoke(new_key.row, actor=other)
    assert ApiKey.objects.live().count() == 1


def test_only_an_administrator_revokes_a_key_for_every_team(
    team: Team, actor: Principal, admin: User, published: list[Snapshot]
) -> None:
    row = keys.create(team=team, name="all", all_teams=True, actor=for_user(admin)).row
    with pytest.raises(Forbidden, match="only an administrator"):
        keys.revoke(row, actor=actor)
    assert keys.revoke(row, actor=for_user(admin)).row.revoked_at


def test_every_wrong_field_is_named(team: Team, actor: Principal) -> None:
    with pytest.raises(InvalidFields) as caught:
        keys.create(
            team=team,
            name=" ",
            scopes=["admin"],
            services=["nope"],
            expires_at=timezone.now() - timedelta(days=1),
            rate_limit_per_minute=0,
            all_teams=True,
            actor=actor,
        )
    assert set(caught.value.errors) == {
        "name",
        "scopes",
        "services",
        "expires_at",
        "rate_limit_per_minute",
        "all_teams",
    }


def test_a_key_cannot_make_a_mightier_key(team: Team, new_key: NewKey) -> None:
    weak = Principal(label="key", roles={team.pk: "editor"}, scopes=frozenset({"manage"}), services=frozenset({1}))
    with pytest.raises(InvalidFields) as caught:
        keys.create(team=team, name="more", scopes=["infer"], actor=weak)
    assert set(caught.value.errors) == {"scopes", "services"}


def test_a_busy_key_writes_its_last_use_once_a_minute(new_key: NewKey) -> None:
    keys.authenticate(new_key.key)
    first = ApiKey.objects.get().last_used_at
    keys.authenticate(new_key.key)
    assert ApiKey.objects.get().last_used_at == first
