"""Who may open which page of a service, and who may do what with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.models import Membership
from services.models import Service
from services.models.services import STOPPED

PAGES = ["service", "service-access", "service-logs", "service-events", "service-revisions"]
VERBS = [
    "start",
    "stop",
    "restart",
    "scale",
    "rollback",
    "delete",
    "cancel-preheat",
    "pause-preheat",
    "resume-preheat",
    "replace-now",
    "cancel-rollout",
]
HX = {"HX-Request": "true"}


@pytest.mark.parametrize("page", PAGES)
def test_the_team_sees_a_page_and_nobody_else_does(
    page: str,
    make: Callable[..., Service],
    alice: User,
    bob: User,
    charlie: User,
    admin: User,
    client_of: Callable[[User | None], Client],
) -> None:
    url = reverse(page, args=[make().name])
    for user in (alice, bob, admin):
        assert client_of(user).get(url).status_code == 200
        assert client_of(user).get(url, headers=HX).status_code == 200
    stranger = client_of(charlie).get(url)
    assert stranger.status_code == 404 and "no access to it" in stranger.content.decode()
    nobody = client_of(None).get(url)
    assert nobody.status_code == 302 and nobody["Location"].startswith(reverse("login"))


def test_a_list_holds_only_what_its_reader_may_see(
    make: Callable[..., Service], bob: User, charlie: User, client_of: Callable[[User | None], Client]
) -> None:
    name = make(name="of-vision").name
    assert name in client_of(bob).get(reverse("services")).content.decode()
    assert name not in client_of(charlie).get(reverse("services")).content.decode()
    assert client_of(None).get(reverse("services")).status_code == 302


@pytest.mark.parametrize("verb", VERBS)
def test_only_editors_of_the_team_may_act(
    verb: str, make: Callable[..., Service], bob: User, charlie: User, client_of: Callable[[User | None], Client]
) -> None:
    service = make()
    events, url = service.events.count(), reverse("service-act", args=[service.name, verb])
    sent = {"confirm": service.name, "replicas": "2", "revision": "1"}
    assert client_of(bob).post(url, sent).status_code == 403
    assert client_of(charlie).post(url, sent).status_code == 404
    assert client_of(None).post(url, sent).status_code == 302
    assert client_of(bob).get(url).status_code == 405
    service.refresh_from_db()
    assert (service.desired, service.replicas, service.events.count()) == ("running", 1, events)


@pytest.mark.parametrize("page", ["service-edit", "service-access"])
def test_only_editors_of_the_team_may_change(
    page: str, make: Callable[..., Service], bob: User, charlie: User, client_of: Callable[[User | None], Client]
) -> None:
    service = make()
    url, sent = reverse(page, args=[service.name]), {"policy": "public", "auth.policy": "public"}
    assert client_of(bob).post(url, sent).status_code == 403
    assert client_of(charlie).post(url, sent).status_code == 404
    assert client_of(None).post(url, sent).status_code == 302
    assert service.revisions.count() == 1


def test_a_viewer_is_not_shown_what_they_may_not_do(
    make: Callable[..., Service], alice: User, bob: User, client_of: Callable[[User | None], Client]
) -> None:
    url = reverse("service", args=[make().name])
    assert "verb-stop" in client_of(alice).get(url).content.decode()
    shown = client_of(bob).get(url).content.decode()
    assert "verb-stop" not in shown and "delete-service" not in shown and "/edit/" not in shown


def test_who_may_edit_nowhere_may_not_open_the_form(
    bob: User, charlie: User, client_of: Callable[[User | None], Client]
) -> None:
    assert client_of(bob).get(reverse("service-new")).status_code == 403
    assert client_of(bob).post(reverse("service-new"), {"name": "x"}).status_code == 403
    assert client_of(None).get(reverse("service-new")).status_code == 302
    assert not Service.objects.exists()
    assert client_of(charlie).get(reverse("service-new")).status_code == 200


def test_nobody_makes_a_service_for_another_team(
    payload: dict[str, str], queue: object, charlie: User, client_of: Callable[[User | None], Client]
) -> None:
    answer = client_of(charlie).post(reverse("service-new"), {**payload, "team": "vision"})
    assert answer.status_code == 422 and "Choose a team" in answer.content.decode()
    answer = client_of(charlie).post(reverse("service-new"), {**payload, "team": "speech"})
    assert answer.status_code == 422 and "no dataset named models" in answer.content.decode()
    assert not Service.objects.exists()


@pytest.mark.parametrize("fragment", ["service-browse", "service-model"])
def test_a_stranger_browses_no_dataset_of_the_team(
    fragment: str, payload: dict[str, str], alice: User, charlie: User, client_of: Callable[[User | None], Client]
) -> None:
    url, query = reverse(fragment), {"dataset": payload["dataset"], "model_path": "echo"}
    assert "Triton model" in client_of(alice).get(url, query).content.decode()
    stranger = client_of(charlie).get(url, query)
    assert "Triton model" not in stranger.content.decode()
    assert client_of(None).get(url, query).status_code == 302


def test_a_former_member_sees_nothing_any_more(
    make: Callable[..., Service], bob: User, client_of: Callable[[User | None], Client]
) -> None:
    url, client = reverse("service", args=[make().name]), client_of(bob)
    assert client.get(url).status_code == 200
    Membership.objects.filter(user=bob).delete()
    assert client.get(url).status_code == 404


def test_a_service_that_was_stopped_is_still_its_team_s(
    make: Callable[..., Service], alice: User, client_of: Callable[[User | None], Client]
) -> None:
    service, client = make(), client_of(alice)
    client.post(reverse("service-act", args=[service.name, "stop"]))
    service.refresh_from_db()
    assert service.desired == STOPPED
    assert client.get(reverse("service", args=[service.name])).status_code == 200
