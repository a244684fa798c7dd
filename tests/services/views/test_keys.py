"""The page of API keys: who sees which, a key shown once, revoke and rotate."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.accounts.principal import for_user
from console.models import Team
from services.actions import delivery, keys
from services.actions.delivery import Delivery
from services.actions.keys import NewKey
from services.gateway.snapshot import Snapshot
from services.models import ApiKey, Service

ClientOf = Callable[[User | None], Client]


@pytest.fixture
def new_key(team: Team, alice: User, published: list[Snapshot]) -> NewKey:
    return keys.create(team=team, name="nightly", actor=for_user(alice))


@pytest.fixture
def sent(team: Team, published: list[Snapshot]) -> dict[str, object]:
    return {"team": str(team.pk), "name": "ci", "scopes": ["infer", "read"]}


def shown(page: str) -> str:
    match = re.search(r'<code id="new-key">([^<]+)</code>', page)
    assert match is not None
    return match[1]


def test_a_team_sees_its_keys_and_a_stranger_does_not(
    new_key: NewKey, alice: User, bob: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    url = reverse("keys")
    for user in (alice, bob, admin):
        page = client_of(user).get(url).content.decode()
        assert f"isk_{new_key.row.key_id}" in page and new_key.key not in page
    assert new_key.row.key_id not in client_of(charlie).get(url).content.decode()
    assert client_of(None).get(url)["Location"].startswith(reverse("login"))


def test_a_new_key_is_shown_once_and_works(alice: User, sent: dict[str, object], client_of: ClientOf) -> None:
    client = client_of(alice)
    assert "Create key" in client.get(reverse("keys") + "?new").content.decode()
    answer = client.post(reverse("keys"), sent)
    page = answer.content.decode()
    principal = keys.authenticate(shown(page))
    assert principal is not None and principal.scopes == {"infer", "read"}
    assert "curl" in page and "no-store" in answer["Cache-Control"]
    assert shown(page) not in client.get(reverse("keys")).content.decode()


def test_the_ready_line_calls_a_service_that_the_key_opens(
    ready: Callable[..., Service], alice: User, sent: dict[str, object], client_of: ClientOf
) -> None:
    ready(name="of-vision")
    page = client_of(alice).post(reverse("keys"), {**sent, "services": ["of-vision"]}).content.decode()
    assert re.search(r"http://testserver:\d+/v2/models/of-vision", page)
    assert ApiKey.objects.get().services == ["of-vision"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scopes", [], "Choose at least one."),
        ("scopes", ["root"], "There is no scope root."),
        ("expires_at", "2001-01-01T00:00", "Must be in the future."),
        ("max_concurrent", str(1 << 32), "Must be from 1 to 1,000,000,000"),
        ("services", ["unknown"], "Select a valid choice."),
    ],
)
def test_what_is_wrong_with_a_new_key_is_said_at_its_field(
    field: str, value: object, message: str, alice: User, sent: dict[str, object], client_of: ClientOf
) -> None:
    page = client_of(alice).post(reverse("keys"), {**sent, field: value})
    assert page.status_code == 200 and message in page.content.decode()
    assert not ApiKey.objects.exists()


def test_limits_are_kept_by_rotation_and_shown(alice: User, sent: dict[str, object], client_of: ClientOf) -> None:
    soon = timezone.now() + timedelta(days=30)
    limits = {"rate_limit_per_minute": "60", "tokens_per_minute": "9000", "max_concurrent": "4"}
    client = client_of(alice)
    client.post(reverse("keys"), {**sent, **limits, "expires_at": soon.strftime("%Y-%m-%dT%H:%M")})
    row = ApiKey.objects.get()
    assert (row.rate_limit_per_minute, row.tokens_per_minute, row.max_concurrent) == (60, 9000, 4)
    text = client.get(reverse("keys")).content.decode()
    assert "60 a minute" in text and "9000 tokens a minute" in text and "4 at once" in text
    client.post(reverse("key-act", args=[row.pk, "rotate"]))
    rotated = ApiKey.objects.get(replaces=row)
    assert (rotated.rate_limit_per_minute, rotated.tokens_per_minute, rotated.max_concurrent) == (60, 9000, 4)
    assert row.expires_at is not None and abs(row.expires_at - soon) < timedelta(minutes=1)


def test_who_may_not_edit_makes_no_key(bob: User, charlie: User, sent: dict[str, object], client_of: ClientOf) -> None:
    assert client_of(bob).post(reverse("keys"), sent).status_code == 403
    assert "Select a valid choice" in client_of(charlie).post(reverse("keys"), sent).content.decode()
    assert client_of(None).post(reverse("keys"), sent).status_code == 302
    assert not ApiKey.objects.exists()
    assert "New key" not in client_of(bob).get(reverse("keys")).content.decode()


def test_only_an_administrator_makes_a_key_for_every_team(
    alice: User, admin: User, sent: dict[str, object], client_of: ClientOf
) -> None:
    client_of(alice).post(reverse("keys"), {**sent, "all_teams": "on"})
    client_of(admin).post(reverse("keys"), {**sent, "all_teams": "on"})
    assert [row.all_teams for row in ApiKey.objects.order_by("pk")] == [False, True]


def test_a_revoked_key_is_refused_and_shown_as_revoked(new_key: NewKey, alice: User, client_of: ClientOf) -> None:
    client = client_of(alice)
    assert client.post(reverse("key-act", args=[new_key.row.pk, "revoke"]))["Location"] == reverse("keys")
    assert keys.authenticate(new_key.key) is None
    assert "Revoked" in client.get(reverse("keys")).content.decode()


def test_rotating_shows_a_second_key_and_leaves_the_first(new_key: NewKey, alice: User, client_of: ClientOf) -> None:
    page = client_of(alice).post(reverse("key-act", args=[new_key.row.pk, "rotate"])).content.decode()
    assert shown(page) != new_key.key
    assert keys.authenticate(shown(page)) is not None and keys.authenticate(new_key.key) is not None
    assert "goes on working until you revoke it" in page


@pytest.mark.parametrize("verb", ["revoke", "rotate"])
def test_a_viewer_and_a_stranger_do_nothing_to_a_key(
    verb: str, new_key: NewKey, bob: User, charlie: User, client_of: ClientOf
) -> None:
    url = reverse("key-act", args=[new_key.row.pk, verb])
    assert client_of(bob).post(url).status_code == 403
    assert client_of(charlie).post(url).status_code == 404
    assert client_of(None).post(url).status_code == 302
    assert client_of(bob).get(url).status_code == 405
    assert keys.authenticate(new_key.key) is not None and ApiKey.objects.count() == 1


def test_a_key_knows_no_other_verbs(new_key: NewKey, alice: User, client_of: ClientOf) -> None:
    assert client_of(alice).post(reverse("key-act", args=[new_key.row.pk, "explode"])).status_code == 404


def test_an_expired_key_is_shown_as_expired(new_key: NewKey, alice: User, client_of: ClientOf) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert "Expired" in client_of(alice).get(reverse("keys")).content.decode()


@pytest.mark.parametrize("along", [True, False])
def test_a_person_chooses_whether_a_keys_children_go_with_it(
    along: bool, team: Team, alice: User, published: list[Snapshot], client_of: ClientOf
) -> None:
    parent = keys.create(team=team, name="parent", scopes=["manage", "infer"], actor=for_user(alice))
    acting = keys.authenticate(parent.key)
    assert acting is not None
    child = keys.create(team=team, name="child", actor=acting)
    client = client_of(alice)
    page = client.get(reverse("keys")).content.decode()
    assert re.search(r'name="children" [^>]*checked><span>Revoke the 1 key that it made as well', page)
    url = reverse("key-act", args=[parent.row.pk, "revoke"])
    page = client.post(url, {"children": "on"} if along else {}, follow=True).content.decode()
    assert ("and the key that it created" in page) == along
    assert (keys.authenticate(child.key) is None) == along


def test_only_a_keys_team_is_told_what_the_gateway_does_not_do_of_it(
    new_key: NewKey, alice: User, bob: User, charlie: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Delivery(applied=False, message="The disk is full.")
    monkeypatch.setattr(delivery, "states", lambda rows: {row.pk: late for row in rows})
    url = reverse("keys-waiting")
    for user in (alice, bob):
        fragment = client_of(user).get(url)
        assert fragment.status_code == 200 and "The disk is full." in fragment.content.decode()
        assert new_key.row.key_id in fragment.content.decode()
        assert "The disk is full." in client_of(user).get(reverse("keys")).content.decode()
    over = client_of(charlie).get(url)
    assert over.status_code == 286 and new_key.row.key_id not in over.content.decode()
    assert client_of(None).get(url).status_code == 302 and client_of(alice).post(url).status_code == 405


def test_a_revocation_that_the_gateway_has_not_is_not_called_done(
    new_key: NewKey, alice: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Delivery(applied=False, message="The disk is full.")
    monkeypatch.setattr(delivery, "carry_out", lambda rows: late)
    page = client_of(alice).post(reverse("key-act", args=[new_key.row.pk, "revoke"]), follow=True).content.decode()
    assert "The gateway may still take it. The disk is full." in page and "refuses it" not in page
