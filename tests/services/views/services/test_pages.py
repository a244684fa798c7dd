"""What the pages of a service say, state by state, and what its verbs do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from datasets import states as rounds
from services import states, wiring
from services.actions import keys
from services.actions import services as verbs
from services.control import reconcile
from services.engines.local.engine import LocalEngine
from services.models import Replica, Service
from services.models.services import DELETED, RUNNING, STOPPED
from tests.services.world import ALL, World

HX = {"HX-Request": "true"}


@pytest.fixture
def browser(alice: User, client_of: Callable[[User | None], Client]) -> Client:
    return client_of(alice)


def shown(browser: Client, url_name: str, service: Service, **query: Any) -> str:
    answer = browser.get(reverse(url_name, args=[service.name]), query)
    assert answer.status_code == 200
    return answer.content.decode()


def act(browser: Client, service: Service, verb: str, **sent: Any) -> str:
    """Do it as the page would; what the next page says."""
    answer = browser.post(reverse("service-act", args=[service.name, verb]), sent, follow=True)
    assert answer.status_code == 200
    service.refresh_from_db()
    return answer.content.decode()


def test_a_service_that_prepares_its_files_shows_how_far_it_is(
    make: Callable[..., Service], world: World, browser: Client
) -> None:
    service = world.settle(make())
    job = service.target.round
    type(job).objects.filter(pk=job.pk).update(
        state=rounds.COPYING, bytes_total=2 << 20, bytes_done=1 << 20, bytes_per_second=1 << 18, files_total=2
    )
    text = shown(browser, "service", service)
    assert "1.0 MiB of 2.0 MiB, 256 KiB/s, 4 s left" in text and 'value="50"' in text
    assert "every 1s" in text and 'aria-current="step"' in text


def test_the_phase_and_the_round_of_a_service_are_shown(
    make: Callable[..., Service], world: World, browser: Client
) -> None:
    service = world.settle(make())
    text = shown(browser, "service", service)
    link = reverse("round", args=["models", service.target.round.pk])
    assert f'href="{link}"' in text and "no GPU is held meanwhile" in text
    assert all(f"<span>{phase}</span>" in text for phase in ("Preheat", "Queue", "Starting", "Ready"))
    now = text.split('aria-current="step"')[1]
    assert now.index("<span>Preheat</span>") < now.index(": under way") < now.index("<span>Queue</span>")
    service = world.converge(service)
    after = shown(browser, "service", service)
    assert service.state == states.READY and f'href="{link}"' in after and "copied and verified" in after


def test_the_preparation_is_paused_and_goes_on_by_button(
    make: Callable[..., Service], world: World, browser: Client
) -> None:
    service = world.settle(make())
    assert "being paused" in act(browser, service, "pause-preheat")
    service = world.settle(service)
    text = shown(browser, "service", service)
    assert service.state == states.PREHEATING and "Paused." in text
    assert 'id="verb-resume"' in text and 'id="verb-pause"' not in text
    assert "goes on" in act(browser, service, "resume-preheat")
    assert world.converge(service).state == states.READY
    assert "not paused" in act(browser, service, "resume-preheat")


def test_cancelling_the_preparation_fails_the_service_and_says_so(
    make: Callable[..., Service], world: World, browser: Client
) -> None:
    service = world.settle(make())
    assert "being cancelled" in act(browser, service, "cancel-preheat")
    service = world.settle(service)
    assert service.state == states.FAILED
    text = shown(browser, "service", service)
    assert "Cancelled by alice." in text and "Start it again to prepare the files" in text


def test_model_files_that_went_bad_say_what_to_do(
    make: Callable[..., Service], world: World, dataset: Any, browser: Client
) -> None:
    service = make()
    (Path(dataset.options["path"]) / "echo" / "config.pbtxt").write_text("input {")
    service = world.converge(service)
    text = shown(browser, "service", service)
    assert service.state == states.FAILED and "Fix the model files" in text and "config.pbtxt" in text


def test_a_queued_service_says_its_place_and_why(
    ready: Callable[..., Service], make: Callable[..., Service], world: World, browser: Client
) -> None:
    ready(resources={"cpu": 3})
    waiting = world.converge(make(name="second", resources={"cpu": 2}))
    assert waiting.state == states.QUEUED
    text = shown(browser, "service", waiting)
    assert "1st in queue default: needs 2 CPU, 1 free." in text and "None yet" in text


def test_a_ready_service_lists_its_replicas_and_slows_its_poll_down(
    ready: Callable[..., Service], browser: Client
) -> None:
    service = ready(replicas=2)
    text = shown(browser, "service", service)
    for replica in Replica.objects.filter(service=service):
        assert str(replica.pid) in text and replica.process_name in text
    assert "every 5s" in text and "verb-restart" in text and "verb-start" not in text


def test_a_poll_answers_the_status_alone(ready: Callable[..., Service], browser: Client) -> None:
    service = ready()
    fragment = browser.get(reverse("service", args=[service.name]), headers=HX).content.decode()
    assert 'id="status"' in fragment and "<html" not in fragment and "verb-restart" in fragment


def test_a_failed_service_shows_the_end_of_its_log_and_where_it_failed(
    make: Callable[..., Service], world: World, browser: Client
) -> None:
    world.deaf.add(ALL)
    service = world.converge(make())
    reconcile.fail(service, "Replica 0 could not start: no module named cuda.", detail="Traceback: <boom>")
    text = shown(browser, "service", service)
    assert "no module named cuda" in text and "Traceback: &lt;boom&gt;" in text and "verb-start" in text


@pytest.mark.parametrize(("verb", "desired"), [("stop", STOPPED), ("restart", RUNNING), ("start", RUNNING)])
def test_a_verb_says_what_was_done_and_comes_back(
    verb: str, desired: str, ready: Callable[..., Service], browser: Client
) -> None:
    service = ready()
    assert service.name in act(browser, service, verb)
    assert service.desired == desired


def test_scaling_changes_the_size_and_bad_sizes_are_explained(ready: Callable[..., Service], browser: Client) -> None:
    service = ready()
    assert "scaled to 2 replicas" in act(browser, service, "scale", replicas="2")
    assert service.replicas == 2
    for wrong in ("", "0", "x", "1.5", "900"):
        assert "Must be a whole number from 1 to 64." in act(browser, service, "scale", replicas=wrong)
    assert "too small" in act(browser, service, "scale", replicas="60")
    assert service.replicas == 2


def test_deleting_needs_the_name_to_be_typed(ready: Callable[..., Service], world: World, browser: Client) -> None:
    service = ready()
    for typed in ("", "ech"):
        assert "Type the name of the service" in act(browser, service, "delete", confirm=typed)
        assert service.desired == RUNNING
    assert "is being deleted" in act(browser, service, "delete", confirm="echo")
    assert service.desired == DELETED
    world.converge(service)
    assert browser.get(reverse("service", args=["echo"])).status_code == 404


def test_restarting_what_is_not_ready_is_explained(make: Callable[..., Service], browser: Client) -> None:
    service = make()
    assert "can be restarted once it is READY" in act(browser, service, "restart")
    assert service.revisions.count() == 1


def test_an_unknown_verb_is_not_found(make: Callable[..., Service], browser: Client) -> None:
    url = reverse("service-act", args=[make().name, "explode"])
    assert browser.post(url).status_code == 404


def test_a_verb_by_htmx_leads_to_the_page(make: Callable[..., Service], browser: Client) -> None:
    url = reverse("service-act", args=[make().name, "stop"])
    assert browser.post(url, headers=HX)["HX-Redirect"] == reverse("service", args=["echo"])


def test_revisions_say_what_changed_and_can_be_taken_back(
    ready: Callable[..., Service], actor: Principal, world: World, browser: Client
) -> None:
    service = ready()
    verbs.edit(service, {"resources": {"cpu": 2}, "env": {"LOG": "1"}}, actor=actor)
    text = shown(browser, "service-revisions", service)
    for fragment in (
        "<code>resources.cpu</code>",
        "<del>1.0</del>",
        "<ins>2.0</ins>",
        "<code>env.LOG</code>",
        "first revision",
    ):
        assert fragment in text
    service = world.converge(service)
    assert "rolled back to revision 1" in act(browser, service, "rollback", revision="1")
    assert service.target.number == 3 and service.target.spec["env"] == {}
    assert "has no revision 77" in act(browser, service, "rollback", revision="77")
    assert "Say which revision" in act(browser, service, "rollback", revision="x")


def test_a_revision_that_failed_says_why(ready: Callable[..., Service], browser: Client) -> None:
    service = ready()
    service.revisions.update(failed="Replica 0 could not start: <no>.")
    assert "Replica 0 could not start: &lt;no&gt;." in shown(browser, "service-revisions", service)


def test_events_come_newest_first_in_pages(ready: Callable[..., Service], browser: Client) -> None:
    service = ready()
    for number in range(60):
        service.events.create(kind="note", message=f"note {number:02d}", actor="alice", detail="more" * (number == 59))
    first, second = shown(browser, "service-events", service), shown(browser, "service-events", service, page=2)
    assert first.index("note 59") < first.index("note 58") and "note 00" not in first and "<details" in first
    assert "note 00" in second and "Created by alice." in second
    assert shown(browser, "service-events", service, page="nonsense") != second


@pytest.fixture
def real_logs(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Logs as the local engine reads them, from files."""
    monkeypatch.setattr(wiring, "engine", lambda: LocalEngine(settings.HOME))
    folder: Path = settings.HOME.logs / "replicas"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("svc-echo-*"):
        old.unlink()
    return folder


def test_a_log_grows_from_where_it_was_read_to(make: Callable[..., Service], real_logs: Path, browser: Client) -> None:
    service = make()
    log = real_logs / "svc-echo-r1-0.log"
    log.write_text("first <line>\n")
    text = shown(browser, "service-logs", service)
    assert "first &lt;line&gt;" in text and "offset=13" in text and "every 2s" in text
    log.write_text("first <line>\nsecond\n")
    url, query = reverse("service-logs", args=["echo"]), {"replica": "svc-echo-r1-0", "offset": "13"}
    more = browser.get(url, query, headers=HX).content.decode()
    assert more.startswith("second\n<span") and "offset=20" in more and "first" not in more


def test_logs_of_what_is_gone_stay_readable(make: Callable[..., Service], real_logs: Path, browser: Client) -> None:
    service = make()
    assert "No log yet" in shown(browser, "service-logs", service)
    (real_logs / "svc-echo-r1-0.log").write_text("it crashed\n")
    text = shown(browser, "service-logs", service)
    assert "it crashed" in text and "Revision 1, replica 0: ended" in text


def test_an_offset_that_is_none_shows_the_end_of_the_log(
    make: Callable[..., Service], real_logs: Path, browser: Client
) -> None:
    service = make()
    (real_logs / "svc-echo-r1-0.log").write_text("the end\n")
    for offset in ("9" * 5000, "-1", "\u0661", ""):
        answer = browser.get(
            reverse("service-logs", args=[service.name]), {"replica": "svc-echo-r1-0", "offset": offset}, headers=HX
        )
        assert answer.status_code == 200 and "the end" in answer.content.decode()


@pytest.mark.parametrize("name", ["svc-other-r1-0", "svc-echo-r1-0/../../../../secret_key", "svc-echo-r7-0", "redis"])
def test_only_the_service_s_own_logs_can_be_asked_for(
    name: str, make: Callable[..., Service], real_logs: Path, browser: Client
) -> None:
    service = make()
    (real_logs / "svc-other-r1-0.log").write_text("of another team\n")
    (real_logs / "svc-echo-r1-0.log").write_text("mine\n")
    for headers in ({}, HX):
        answer = browser.get(reverse("service-logs", args=[service.name]), {"replica": name}, headers=headers)
        assert answer.status_code == 404 and "of another team" not in answer.content.decode()


def test_the_access_page_names_addresses_and_the_keys_that_open_it(
    ready: Callable[..., Service], team: Any, actor: Principal, browser: Client, published: list[Any]
) -> None:
    service = ready()
    keys.create(team=team, name="opens", scopes=["infer"], actor=actor)
    keys.create(team=team, name="reads-only", scopes=["read"], actor=actor)
    revoked = keys.create(team=team, name="revoked", scopes=["infer"], actor=actor).row
    keys.revoke(revoked, actor=actor)
    text = shown(browser, "service-access", service)
    assert f"http://testserver:{settings.GATEWAY_PORT}/v2/models/echo" in text
    assert "opens" in text and "reads-only" not in text and ">revoked<" not in text


def test_the_policy_can_be_changed_and_warns(ready: Callable[..., Service], browser: Client) -> None:
    service = ready()
    url = reverse("service-access", args=[service.name])
    answer = browser.post(url, {"policy": "public"}, follow=True)
    service.refresh_from_db()
    assert service.target.spec["auth"]["policy"] == "public"
    assert "without a key or a limit" in answer.content.decode()
    wrong = browser.post(url, {"policy": "everybody"})
    assert wrong.status_code == 422 and "Must be one of: api_key, public." in wrong.content.decode()


def test_the_list_can_be_narrowed(make: Callable[..., Service], browser: Client) -> None:
    make(name="alpha")
    Service.objects.filter(pk=make(name="beta").pk).update(state=states.FAILED)

    def listed(**query: str) -> list[str]:
        text = browser.get(reverse("services"), query, headers=HX).content.decode()
        return [name for name in ("alpha", "beta") if f"<b>{name}</b>" in text]

    assert listed() == ["alpha", "beta"]
    assert listed(q="ALP") == ["alpha"] and listed(state="FAILED") == ["beta"]
    assert listed(team="vision") == listed(state="no such state") == ["alpha", "beta"]
    assert listed(team="nobody") == []


def test_an_empty_list_says_what_to_do_first(browser: Client) -> None:
    assert reverse("service-new") in browser.get(reverse("services")).content.decode()


@pytest.mark.parametrize("has_services", [True, False])
def test_only_who_may_create_a_service_is_offered_to(
    has_services: bool,
    ready: Callable[..., Service],
    alice: User,
    bob: User,
    client_of: Callable[[User | None], Client],
) -> None:
    if has_services:
        ready()
    link = f'href="{reverse("service-new")}"'
    assert link in client_of(alice).get(reverse("services")).content.decode()
    assert link not in client_of(bob).get(reverse("services")).content.decode()
