"""Forms that send what no page offers: a sentence, a refusal or nothing, and never a failure of the page."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from django import forms
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from console.errors import InvalidFields
from console.models import Membership, Team
from console.web.pages import show_errors
from datasets.actions import verbs as round_verbs
from datasets.actions.rounds import request_round
from datasets.models import Dataset, Round
from services.models import Node, Queue, Service
from services.models.services import RUNNING
from services.views import services

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


Make = Callable[..., Service]
SERVICE_FIELDS = ("replicas", "revision", "strategy", "confirm")


class OneField(forms.Form):
    name = forms.CharField()


def odd_paths(template: str, odd: str, *good: str) -> list[str]:
    """The address with one part odd, for each of its parts."""
    paths = ((odd if number == place else part for number, part in enumerate(good)) for place, _ in enumerate(good))
    return [template.format(*(quote(part, safe="") for part in parts)) for parts in paths]


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
    good = {
        "member": Membership.objects.get(user=alice).pk,
        "role": "viewer",
        "account": alice.pk,
        "username": "alice",
        "name": "fine",
        "confirm": "no",
    }
    client, url = client_of(admin), reverse(page, args=arguments)
    singly = FIELDS[page] if page == "team" else ()
    for odd in ODD:
        for field in singly:
            sent = {name: good[name] for name in FIELDS[page] if name in good} | {field: odd, "verb": verb}
            assert client.post(url, sent).status_code < 500, (field, odd)
        assert client.post(url, dict.fromkeys(FIELDS[page], odd) | {"verb": odd}).status_code < 500


@pytest.mark.parametrize("verb", [*services.VERBS, "bogus"])
def test_no_value_fails_a_verb_of_a_service(alice: User, ready: Make, client_of: ClientOf, verb: str) -> None:
    ready(resources={"cpu": 4})  # no room for two revisions: a restart and a rollback ask first
    client = client_of(alice)
    here = reverse("service-act", args=["echo", verb])
    bodies: list[dict[str, str]] = [{}, {}]
    for odd in ODD:
        bodies += [*({field: odd} for field in SERVICE_FIELDS), dict.fromkeys(SERVICE_FIELDS, odd)]
    for number, sent in enumerate(bodies):
        headers = {"HX-Request": "true"} if number % 2 else {}
        assert client.post(here, sent, headers=headers).status_code < 500, (sent, headers)
    if verb == "delete":
        assert Service.objects.get().desired == RUNNING, "its name was never typed"


@pytest.mark.parametrize("verb", [*round_verbs.ALL, "bogus"])
def test_no_value_fails_a_verb_of_a_round(
    alice: User, dataset: Dataset, actor: Principal, client_of: ClientOf, verb: str
) -> None:
    job = request_round(dataset, "echo", actor=actor)
    for back in ("dataset", *ODD):
        answer = client_of(alice).post(f"/datasets/{dataset.name}/rounds/{job.pk}/{verb}/", {"back": back})
        assert answer.status_code < 500, (verb, back)


def test_no_address_fails(admin: User, ready: Make, client_of: ClientOf) -> None:
    tree, job = ready().target_revision.tree, Round.objects.get()
    client = client_of(admin)
    for odd in (*ODD, "..", "../../..", tree[:-1], tree.upper(), "0" * 64):
        for path in (
            *odd_paths("/services/{}/do/{}/", odd, "echo", "stop"),
            *odd_paths("/datasets/{}/rounds/{}/{}/", odd, "models", str(job.pk), "cancel"),
            *odd_paths("/store/{}/{}/", odd, tree, "evict"),
            *odd_paths("/store/{}/{}/", odd, tree, "verify"),
        ):
            assert client.post(path).status_code < 500, path
        round_page = f"/datasets/models/rounds/{job.pk}/"
        for path, query in ((round_page, "page"), (round_page, "state"), ("/store/", "page")):
            assert client.get(path, {query: odd}).status_code < 500, (path, odd)
    for verb in ("bogus", "verify", "evict"):
        assert client.post(f"/store/{tree}/{verb}/").status_code < 500, verb


def test_an_unknown_role_is_told_in_a_sentence_and_changes_nothing(
    alice: User, bob: User, team: Team, client_of: ClientOf
) -> None:
    member = Membership.objects.get(user=bob)
    url = reverse("team", args=[team.name])
    answer = client_of(alice).post(url, {"verb": "role", "member": member.pk, "role": "bogus"})
    assert answer.status_code == 200 and "bogus" in answer.content.decode()
    member.refresh_from_db()
    assert member.role != "bogus"
