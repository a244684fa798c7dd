"""The pages of teams: who sees them, who changes members, and what an administrator is shown once."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.models import Membership, Team

ClientOf = Callable[[User | None], Client]


def test_members_and_administrators_see_a_team_and_a_stranger_does_not(
    alice: User, bob: User, charlie: User, admin: User, team: Team, client_of: ClientOf
) -> None:
    url = reverse("team", args=[team.name])
    assert [client_of(user).get(url).status_code for user in (alice, bob, admin)] == [200, 200, 200]
    assert client_of(charlie).get(url).status_code == 404
    assert client_of(None).get(url)["Location"].startswith(reverse("login"))


def test_the_list_holds_only_ones_own_teams(alice: User, charlie: User, admin: User, client_of: ClientOf) -> None:
    url = reverse("teams")
    assert "vision" in client_of(alice).get(url).content.decode()
    assert "speech" not in client_of(alice).get(url).content.decode()
    assert "charlie" not in client_of(alice).get(url).content.decode()  # accounts are the administrator's
    page = client_of(admin).get(url).content.decode()
    assert "vision" in page and "speech" in page and "charlie" in page
    assert client_of(None).get(url).status_code == 302


def test_somebody_without_a_team_is_told_what_to_do(db: None, client_of: ClientOf) -> None:
    lonely = User.objects.create_user("lonely")
    assert "Ask an administrator" in client_of(lonely).get(reverse("teams")).content.decode()


@pytest.mark.parametrize("sent", [{"verb": "team", "name": "nlp"}, {"verb": "account", "username": "dora"}])
def test_only_an_administrator_makes_teams_and_accounts(sent: dict[str, str], alice: User, client_of: ClientOf) -> None:
    assert client_of(alice).post(reverse("teams"), sent).status_code == 403
    assert client_of(None).post(reverse("teams"), sent).status_code == 302
    assert not Team.objects.filter(name="nlp").exists() and not User.objects.filter(username="dora").exists()


def test_an_administrator_makes_a_team(admin: User, client_of: ClientOf) -> None:
    answer = client_of(admin).post(reverse("teams"), {"verb": "team", "name": "nlp"})
    assert answer["Location"] == reverse("team", args=["nlp"])
    again = client_of(admin).post(reverse("teams"), {"verb": "team", "name": "nlp"})
    assert "There is already a team named nlp." in again.content.decode()


def test_the_password_of_a_new_account_is_shown_once(admin: User, client_of: ClientOf) -> None:
    page = client_of(admin).post(reverse("teams"), {"verb": "account", "username": "dora"})
    match = re.search(r'<code id="new-password">([^<]+)</code>', page.content.decode())
    assert match is not None
    assert authenticate(username="dora", password=match[1]) is not None
    assert "no-store" in page["Cache-Control"]
    assert match[1] not in client_of(admin).get(reverse("teams")).content.decode()


def test_an_account_is_switched_off_and_on(admin: User, alice: User, client_of: ClientOf) -> None:
    for verb, active in (("deactivate", False), ("activate", True)):
        client_of(admin).post(reverse("teams"), {"verb": verb, "account": str(alice.pk)})
        alice.refresh_from_db()
        assert alice.is_active is active
    assert client_of(alice).post(reverse("teams"), {"verb": "deactivate", "account": str(admin.pk)}).status_code == 403
    assert client_of(admin).post(reverse("teams"), {"verb": "deactivate", "account": "x"}).status_code == 404


def test_an_owner_adds_changes_and_removes_a_member(
    alice: User, charlie: User, team: Team, client_of: ClientOf
) -> None:
    client, url = client_of(alice), reverse("team", args=[team.name])
    client.post(url, {"verb": "add", "username": "charlie", "role": "viewer"})
    membership = Membership.objects.get(team=team, user=charlie)
    assert "charlie" in client.get(url).content.decode()
    client.post(url, {"verb": "role", "member": str(membership.pk), "role": "editor"})
    membership.refresh_from_db()
    assert membership.role == "editor"
    client.post(url, {"verb": "remove", "member": str(membership.pk)})
    assert not Membership.objects.filter(team=team, user=charlie).exists()


def test_an_unknown_account_is_named_at_its_field(alice: User, team: Team, client_of: ClientOf) -> None:
    page = client_of(alice).post(
        reverse("team", args=[team.name]), {"verb": "add", "username": "nobody", "role": "viewer"}
    )
    assert "There is no account named nobody." in page.content.decode()


@pytest.mark.parametrize("verb", ["add", "role", "remove", "delete"])
def test_a_viewer_changes_nothing_and_a_stranger_finds_nothing(
    verb: str, alice: User, bob: User, charlie: User, team: Team, client_of: ClientOf
) -> None:
    member = Membership.objects.get(user=alice)
    sent = {"verb": verb, "username": "charlie", "role": "viewer", "member": str(member.pk), "confirm": team.name}
    url = reverse("team", args=[team.name])
    assert client_of(bob).post(url, sent).status_code == 403
    assert client_of(charlie).post(url, sent).status_code == 404
    assert client_of(None).post(url, sent).status_code == 302
    assert set(Membership.objects.filter(team=team).values_list("user__username", "role")) == {
        ("alice", "owner"),
        ("bob", "viewer"),
    }


def test_a_member_of_another_team_is_not_reached_through_ones_own(
    alice: User, charlie: User, team: Team, client_of: ClientOf
) -> None:
    theirs = Membership.objects.get(user=charlie)
    sent = {"verb": "remove", "member": str(theirs.pk)}
    assert client_of(alice).post(reverse("team", args=[team.name]), sent).status_code == 404
    assert Membership.objects.filter(pk=theirs.pk).exists()


def test_who_leaves_a_team_is_led_to_the_list(bob: User, team: Team, client_of: ClientOf) -> None:
    sent = {"verb": "remove", "member": str(Membership.objects.get(user=bob).pk)}
    assert client_of(bob).post(reverse("team", args=[team.name]), sent)["Location"] == reverse("teams")


def test_a_team_is_deleted_with_its_name_typed(admin: User, team: Team, client_of: ClientOf) -> None:
    client, url = client_of(admin), reverse("team", args=[team.name])
    page = client.post(url, {"verb": "delete", "confirm": "x"}).content.decode()
    assert "Type the name of the team, vision, to delete it." in page and "data-opened" in page
    assert client.post(url, {"verb": "delete", "confirm": "vision"})["Location"] == reverse("teams")
    assert not Team.objects.filter(pk=team.pk).exists()
