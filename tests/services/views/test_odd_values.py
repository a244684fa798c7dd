"""Forms that send what no page offers: a sentence, a refusal or nothing, and never a failure of the page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django import forms
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.errors import InvalidFields
from console.models import Membership, Team
from console.pages import show_errors
from services.models import Node, Queue

ClientOf = Callable[[User | None], Client]
ODD = ("", "bogus", "9" * 30, "\u0663", "\x00", "\U0001f642" * 200)
VERBS = {
    "team": ("add", "role", "remove", "delete", "", "bogus"),
    "teams": ("team", "account", "password", "activate", "deactivate", "", "bogus"),
    "queue": ("delete", "", "bogus"),
    "queues": ("",),
    "node": ("",),
    "keys": ("",),
    "service-new": ("",),
    "datasets": ("",),
}
FIELDS = {
    "team": ("member", "role", "username", "confirm"),
    "teams": ("account", "username", "name"),
    "queue": ("confirm", "cpu", "memory_gib", "gpus", "order", "description"),
    "queues": ("name", "cpu", "memory_gib", "gpus", "order"),
    "node": ("labels", "schedulable"),
    "keys": ("name", "team", "scopes", "services", "expires_at", "rate_limit_per_minute"),
    "service-new": ("name", "framework", "dataset", "queue", "replicas", "cpu"),
    "datasets": ("name", "kind", "team"),
}


class OneField(forms.Form):
    name = forms.CharField()


@pytest.mark.parametrize("data", [None, {"name": "x"}, {}], ids=["unbound", "good", "empty"])
def test_an_error_finds_its_place_in_any_form(data: dict[str, str] | None) -> None:
    form = OneField(data)
    show_errors(form, InvalidFields({"name": "Taken.", "elsewhere": "Wrong."}))
    assert "Taken." in form.errors["name"] and form.non_field_errors() == ["elsewhere: Wrong."]


@pytest.mark.parametrize(("page", "verb"), [(page, verb) for page, verbs in VERBS.items() for verb in verbs])
def test_no_value_fails_a_page(
    admin: User, team: Team, alice: User, client_of: ClientOf, queue: Queue, node: Node, page: str, verb: str
) -> None:
    arguments = {"team": [team.name], "queue": [queue.name], "node": [node.name]}.get(page, [])
    good = {"member": Membership.objects.get(user=alice).pk, "role": "viewer", "account": alice.pk, "username": "alice",
            "name": "fine", "confirm": "no"}  # fmt: skip
    client, url = client_of(admin), reverse(page, args=arguments)
    singly = FIELDS[page] if page == "team" else ()
    for odd in ODD:
        for field in singly:
            sent = {name: good[name] for name in FIELDS[page] if name in good} | {field: odd, "verb": verb}
            assert client.post(url, sent).status_code < 500, (field, odd)
        assert client.post(url, dict.fromkeys(FIELDS[page], odd) | {"verb": odd}).status_code < 500


def test_an_unknown_role_is_told_in_a_sentence_and_changes_nothing(
    alice: User, bob: User, team: Team, client_of: ClientOf
) -> None:
    member = Membership.objects.get(user=bob)
    url = reverse("team", args=[team.name])
    answer = client_of(alice).post(url, {"verb": "role", "member": member.pk, "role": "bogus"})
    assert answer.status_code == 200 and "bogus" in answer.content.decode()
    member.refresh_from_db()
    assert member.role != "bogus"
