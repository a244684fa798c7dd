"""Where two revisions do not fit at once: what the form and the buttons say, and what a person may choose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.accounts.principal import Principal
from services import forms, states
from services.actions import services as verbs
from services.frameworks.triton.framework import Triton
from services.models import Node, Queue, Replica, Service
from tests.services.test_forms import post_of
from tests.services.world import ALL_BUT_THE_FIRST, World

Make = Callable[..., Service]
BOTH = "There is no room for two revisions at once"


@pytest.fixture
def browser(alice: User, client_of: Callable[[User | None], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def full(ready: Make) -> Service:
    """It serves, and its queue has no room for another."""
    return ready(resources={"cpu": 4})


def form_of(service: Service, **changes: str) -> QueryDict:
    spec = service.target_revision.parsed().to_json()
    sent = post_of(forms.from_spec(service.name, service.team.name, service.replicas, spec))
    sent["service"], sent["revision"] = service.name, str(service.target_revision.number)
    sent["replicas.was"] = str(service.replicas)
    for name, value in changes.items():
        sent[name.replace("__", ".")] = value
    return sent


def post(browser: Client, url: str, sent: QueryDict) -> Any:
    return browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded")


def forecast(browser: Client, service: Service, **changes: str) -> str:
    answer = post(browser, reverse("service-placement"), form_of(service, **changes))
    assert answer.status_code == 200
    return str(answer.content.decode())


def with_env(sent: QueryDict) -> QueryDict:
    sent.setlist("env.name", ["LEVEL"])
    sent.setlist("env.value", ["2"])
    return sent


def test_the_form_tells_what_saving_would_do(browser: Client, ready: Make, world: World) -> None:
    service = ready()
    assert "Nothing is changed yet." in forecast(browser, service)
    assert "There is room for both: revision 1 serves" in forecast(browser, service, resources__cpu="2")
    assert "No replica is restarted" in forecast(browser, service, auth__policy="public")
    assert "Node local cannot take it" in forecast(browser, service, resources__memory_gib="100") or "too small" in (
        forecast(browser, service, resources__memory_gib="100")
    )


def test_the_form_asks_only_when_both_do_not_fit(browser: Client, full: Service, world: World) -> None:
    sent = with_env(form_of(full))
    page = post(browser, reverse("service-placement"), sent).content.decode()
    assert BOTH in page and "echo is down while the new revision starts" in page
    assert 'value="rolling" checked' in page and "Replace now" in page
    sent["strategy"] = "recreate"
    assert 'value="recreate" checked' in post(browser, reverse("service-placement"), sent).content.decode()
    Queue.objects.update(cpu=8)
    assert BOTH not in post(browser, reverse("service-placement"), sent).content.decode()


def test_the_form_does_not_offer_what_a_cordoned_node_would_not_take(browser: Client, ready: Make) -> None:
    service = ready()
    Node.objects.update(schedulable=False)
    page = post(browser, reverse("service-placement"), with_env(form_of(service))).content.decode()
    assert "revision 1 serves on" in page and "node local is cordoned" in page and BOTH not in page


@pytest.mark.parametrize("strategy", ["", "rolling", "recreate"])
def test_the_form_saves_what_was_chosen(strategy: str, browser: Client, full: Service) -> None:
    sent = with_env(form_of(full, **({"strategy": strategy} if strategy else {})))
    assert post(browser, reverse("service-edit", args=["echo"]), sent).status_code == 302
    target = Service.objects.get().target
    assert (target.number, target.strategy) == (2, strategy or "rolling")


def test_a_change_of_access_says_that_nothing_is_restarted(browser: Client, ready: Make) -> None:
    sent = form_of(ready(), auth__policy="public")
    post(browser, reverse("service-edit", args=["echo"]), sent)
    page = browser.get(reverse("service", args=["echo"])).content.decode()
    assert "Saved as revision 2. No replica is restarted." in page


@pytest.mark.parametrize(("verb", "sent"), [("restart", {}), ("rollback", {"revision": "0"})])
@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_a_button_asks_first_when_both_do_not_fit(
    verb: str, sent: dict[str, str], strategy: str, browser: Client, full: Service
) -> None:
    spec = {**full.target.spec, "env": {"LEVEL": "0"}}
    full.revisions.create(number=0, spec=spec, dataset=full.target.dataset)
    url = reverse("service-act", args=["echo", verb])
    page = browser.post(url, sent).content.decode()
    assert BOTH in page and "Replace now" in page
    assert Service.objects.get().target.number == 1, "nothing happened yet"
    assert browser.post(url, {**sent, "strategy": strategy}).status_code == 302
    target = Service.objects.get().target
    assert (target.number, target.strategy) == (2, strategy)


def test_a_button_asks_nothing_when_both_fit(browser: Client, ready: Make) -> None:
    ready()
    assert browser.post(reverse("service-act", args=["echo", "restart"])).status_code == 302


def test_a_revision_that_waits_is_replaced_or_canceled_on_the_page(
    browser: Client, full: Service, world: World, actor: Principal
) -> None:
    verbs.restart(full, actor=actor)
    world.converge(full)
    page = browser.get(reverse("service", args=["echo"])).content.decode()
    assert "verb-replace-now" in page and "verb-cancel-rollout" in page
    assert "Revision 1 serves until revision 2 answers." in page
    world.deaf.add(ALL_BUT_THE_FIRST)
    browser.post(reverse("service-act", args=["echo", "replace-now"]))
    service = world.converge(full)
    page = browser.get(reverse("service", args=["echo"])).content.decode()
    assert "Revision 1 has ended to make room for revision 2" in page
    assert "verb-replace-now" not in page and "verb-cancel-rollout" in page
    world.deaf.clear()
    browser.post(reverse("service-act", args=["echo", "cancel-rollout"]))
    service = world.converge(full)
    assert (service.state, service.serving.number, service.target.number) == (states.READY, 1, 1)
    assert "verb-cancel-rollout" not in browser.get(reverse("service", args=["echo"])).content.decode()


def test_replace_now_asks_first_and_says_what_goes_off_for_how_long(
    browser: Client, full: Service, world: World, actor: Principal
) -> None:
    verbs.restart(full, actor=actor)
    world.converge(full)
    now = timezone.now()
    Replica.objects.update(created_at=now - timedelta(seconds=12), started_at=now)
    page = browser.get(reverse("service", args=["echo"])).content.decode()
    assert 'data-open="replace-now"' in page.split('id="verb-replace-now"')[1].split(">")[0]
    before, dialog = page.split('<dialog id="replace-now"')
    action = reverse("service-act", args=["echo", "replace-now"])
    assert f'action="{action}"' not in before, "no button acts at one click"
    dialog = dialog.split("</dialog>")[0]
    assert f'action="{action}"' in dialog and "echo goes down" in dialog and "503" in dialog
    drain = "Before that, requests in flight are finished, for up to 30 s."
    assert f"That takes about 12 s, as the last start did. {drain}" in dialog
    Replica.objects.update(created_at=now - timedelta(days=1))  # it hung, and was started again
    page = browser.get(reverse("service", args=["echo"])).content.decode()
    assert f"That takes at most {Triton().start_seconds({})} s, the longest start" in page


def test_a_viewer_is_shown_no_choice(
    bob: User, full: Service, world: World, actor: Principal, client_of: Callable[[User | None], Client]
) -> None:
    verbs.restart(full, actor=actor)
    world.converge(full)
    page = client_of(bob).get(reverse("service", args=["echo"])).content.decode()
    assert "replace-now" not in page and "cancel-rollout" not in page
    sent = form_of(full)
    assert post(client_of(bob), reverse("service-placement"), sent).status_code == 403


@pytest.mark.parametrize("person", ["charlie", None])
def test_a_stranger_learns_nothing_of_a_service_from_the_form(
    person: str | None, full: Service, request: pytest.FixtureRequest, client_of: Callable[[User | None], Client]
) -> None:
    user = request.getfixturevalue(person) if person else None
    answer = post(client_of(user), reverse("service-placement"), with_env(form_of(full)))
    assert answer.status_code == (404 if person else 302)
