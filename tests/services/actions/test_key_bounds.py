"""What a key hands out is bounded by what it is, and ends with it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.utils import timezone

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden, InvalidFields
from console.models import Team
from services.actions import keys
from services.actions.key_bounds import LIMITS
from services.actions.keys import NewKey
from services.control import publishing
from services.gateway.snapshot import Snapshot
from services.models import ApiKey, Replica, Service

SOON = timezone.now().replace(microsecond=0) + timedelta(hours=1)
BOUND: dict[str, Any] = {
    "expires_at": SOON,
    "rate_limit_per_minute": 10,
    "tokens_per_minute": 1000,
    "max_concurrent": 2,
}


@pytest.fixture
def alice_acts(alice: User) -> Principal:
    return for_user(alice)


@pytest.fixture
def mint(team: Team, alice_acts: Principal, published: list[Snapshot]) -> Callable[..., NewKey]:
    def create(actor: Principal | None = None, **rights: Any) -> NewKey:
        rights = {"scopes": ["infer", "read", "manage"], **rights}
        return keys.create(team=rights.pop("team", team), name="a key", actor=actor or alice_acts, **rights)

    return create


def as_key(new_key: NewKey) -> Principal:
    principal = keys.authenticate(new_key.key)
    assert principal is not None
    return principal


def test_what_a_key_leaves_out_its_child_inherits(mint: Callable[..., NewKey]) -> None:
    parent = mint(**BOUND)
    child = mint(as_key(parent)).row
    assert {field: getattr(child, field) for field in BOUND} == BOUND
    assert child.parent == parent.row


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expires_at", SOON + timedelta(seconds=1)),
        ("rate_limit_per_minute", 11),
        ("tokens_per_minute", 1001),
        ("max_concurrent", 3),
        ("scopes", ["infer", "manage", "read"]),
        ("all_teams", True),
    ],
)
def test_a_child_has_nothing_that_is_wider(mint: Callable[..., NewKey], field: str, value: Any) -> None:
    parent = mint(**BOUND, scopes=["infer", "manage"])
    with pytest.raises(InvalidFields) as caught:
        mint(as_key(parent), **{"scopes": ["infer"], field: value})
    assert set(caught.value.errors) == {field}
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("field", LIMITS)
def test_a_child_may_be_narrower_and_so_are_its_own(mint: Callable[..., NewKey], field: str) -> None:
    child = mint(as_key(mint(**BOUND)), **{field: 1})
    grandchild = mint(as_key(child))
    assert getattr(child.row, field) == getattr(grandchild.row, field) == 1
    with pytest.raises(InvalidFields):
        mint(as_key(child), **{field: 2})


def test_a_key_of_one_team_makes_none_for_another(mint: Callable[..., NewKey], other_team: Team) -> None:
    with pytest.raises(Forbidden):
        mint(as_key(mint()), team=other_team)


def test_a_key_that_may_less_rotates_none_that_may_more(mint: Callable[..., NewKey]) -> None:
    wide = mint()
    narrow = mint(**BOUND)
    with pytest.raises(InvalidFields) as caught:
        keys.rotate(wide.row, actor=as_key(narrow))
    assert set(caught.value.errors) == set(BOUND)
    with pytest.raises(InvalidFields, match="more than itself"):
        keys.rotate(wide.row, actor=as_key(mint(scopes=["manage"])))
    assert not ApiKey.objects.exclude(replaces=None).exists()


def test_a_key_rotates_itself_and_stays_bounded(mint: Callable[..., NewKey]) -> None:
    first = mint(**BOUND)
    second = keys.rotate(first.row, actor=as_key(first))
    assert {field: getattr(second.row, field) for field in BOUND} == BOUND
    with pytest.raises(InvalidFields):
        mint(as_key(second), rate_limit_per_minute=11)


def test_a_key_rotates_no_other_key_than_those_that_it_made(mint: Callable[..., NewKey]) -> None:
    parent, sibling = mint(**BOUND), mint(**BOUND)
    child = mint(as_key(parent), **BOUND)
    for row in (sibling.row, parent.row):
        with pytest.raises(Forbidden):
            keys.rotate(row, actor=as_key(child))
    assert not ApiKey.objects.exclude(replaces=None).exists()


def test_a_replacement_stays_in_the_place_of_the_key_that_it_replaces(mint: Callable[..., NewKey]) -> None:
    first = mint()
    second = mint(as_key(first))
    third = mint(as_key(second), **BOUND)
    replacement = keys.rotate(third.row, actor=as_key(first)).row
    assert replacement.parent == second.row
    assert replacement in keys.revoke(second.row, actor=as_key(first)).children


def test_revoking_takes_along_what_the_key_made_and_what_those_made(mint: Callable[..., NewKey]) -> None:
    parent, other = mint(), mint()
    child = mint(as_key(parent))
    grandchild = mint(as_key(child))
    successor = keys.rotate(parent.row, actor=as_key(parent))
    gone = keys.revoke(parent.row, actor=as_key(other))
    assert {row.pk for row in gone.children} == {child.row.pk, grandchild.row.pk, successor.row.pk}
    assert [keys.authenticate(new_key.key) for new_key in (parent, child, grandchild, successor)] == [None] * 4
    assert keys.authenticate(other.key) is not None
    assert [key.id for key in publishing.snapshot().keys] == [other.row.key_id]


def test_what_a_revoked_child_made_still_goes_along(mint: Callable[..., NewKey], alice_acts: Principal) -> None:
    parent = mint()
    child = mint(as_key(parent))
    grandchild = mint(as_key(child))
    keys.revoke(child.row, actor=alice_acts, children=False)
    assert keys.authenticate(grandchild.key) is not None
    assert [row.pk for row in keys.revoke(parent.row, actor=alice_acts).children] == [grandchild.row.pk]


def test_what_a_person_rotates_still_goes_along_with_the_key_that_made_it(
    mint: Callable[..., NewKey], alice_acts: Principal
) -> None:
    parent = mint()
    child = mint(as_key(parent))
    successor = keys.rotate(child.row, actor=alice_acts)
    assert successor.row.parent == parent.row
    gone = keys.revoke(parent.row, actor=alice_acts).children
    assert {row.pk for row in gone} == {child.row.pk, successor.row.pk}


def test_children_may_be_left_alone(mint: Callable[..., NewKey], alice_acts: Principal) -> None:
    parent = mint(**BOUND)
    child = mint(as_key(parent))
    assert keys.revoke(parent.row, actor=alice_acts, children=False).children == ()
    assert keys.authenticate(child.key) is not None


def test_a_client_that_rotates_its_own_key_is_not_locked_out(mint: Callable[..., NewKey]) -> None:
    first = mint()
    second = keys.rotate(first.row, actor=as_key(first))
    third = keys.rotate(second.row, actor=as_key(second))
    keys.revoke(first.row, actor=as_key(second))  # by the successor
    assert keys.authenticate(second.key) is not None
    keys.revoke(second.row, actor=as_key(second))  # by itself
    assert keys.authenticate(third.key) is not None


def test_a_key_that_was_revoked_meanwhile_makes_none(mint: Callable[..., NewKey], alice_acts: Principal) -> None:
    parent = mint()
    acting = as_key(parent)
    child = mint(acting)
    keys.revoke(parent.row, actor=alice_acts, children=False)
    with pytest.raises(Conflict):
        mint(acting)
    with pytest.raises(Conflict):
        keys.rotate(child.row, actor=acting)
    stale = mint()
    keys.revoke(ApiKey.objects.get(pk=stale.row.pk), actor=alice_acts)
    with pytest.raises(Conflict):
        keys.rotate(stale.row, actor=alice_acts)


def test_a_key_for_a_service_that_was_deleted_opens_nothing(
    mint: Callable[..., NewKey], ready: Callable[..., Service], alice_acts: Principal
) -> None:
    first = ready(name="echo")
    new_key = mint(services=["echo"])
    Replica.objects.all().delete()
    first_pk = first.pk
    first.delete()
    second = ready(name="echo")
    acting = as_key(new_key)
    assert not Service.objects.visible_to(acting).exists()
    (gateway_service,), (key,) = publishing.snapshot().services, publishing.snapshot().keys
    assert gateway_service.uid == str(second.pk) and key.services == (str(first_pk),) != (gateway_service.uid,)
    successor = keys.rotate(new_key.row, actor=alice_acts).row
    assert (successor.services, successor.service_ids) == (["echo"], [first_pk])
    with pytest.raises(InvalidFields):
        mint(acting, services=["echo"])


def test_keys_of_before_are_bound_to_the_services_that_have_their_names(
    mint: Callable[..., NewKey], ready: Callable[..., Service], team: Team, other_team: Team
) -> None:
    echo, asr = ready(name="echo"), ready(name="asr")
    Service.objects.filter(pk=asr.pk).update(team=other_team)
    mint()
    ApiKey.objects.update(services=["echo", "asr", "gone"])
    importlib.import_module("services.migrations.0008_what_a_key_is_bound_to").bind(apps, None)
    assert ApiKey.objects.get().service_ids == [echo.pk, 0, 0]
    ApiKey.objects.update(all_teams=True)
    importlib.import_module("services.migrations.0008_what_a_key_is_bound_to").bind(apps, None)
    assert ApiKey.objects.get().service_ids == [echo.pk, asr.pk, 0]


def test_keys_of_before_get_the_key_that_made_them_for_a_parent(
    mint: Callable[..., NewKey], alice_acts: Principal
) -> None:
    first = mint()
    second = mint(as_key(first))
    by_a_person = keys.rotate(second.row, actor=alice_acts)
    third = mint(as_key(second))
    ApiKey.objects.update(parent=None)
    importlib.import_module("services.migrations.0015_parents_of_earlier_keys").set_parents(apps, None)
    parents = dict(ApiKey.objects.values_list("pk", "parent"))
    tree = {first.row: None, second.row: first.row.pk, by_a_person.row: first.row.pk, third.row: second.row.pk}
    assert parents == {row.pk: parent for row, parent in tree.items()}
