"""The form that makes and changes services: what it shows, what it refuses and why, and what it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from services import forms, states, wiring
from services.actions import services as verbs
from services.models import Node, Queue, Service
from services.models.services import RUNNING
from tests.repositories import python_model, write
from tests.services.test_forms import post_of
from tests.services.world import World

NEW = "service-new"


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without runtimes; `world` says that Triton is there nevertheless."""
    monkeypatch.setattr(wiring, "runtime", lambda name: tmp_path / "runtimes" / name)


@pytest.fixture
def browser(alice: User, client_of: Callable[[User | None], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def filled(world: World, payload: dict[str, Any]) -> QueryDict:
    """The form as a person fills it in for the folder `echo`."""
    return post_of(forms.blank(name="echo", team="vision", dataset=payload["dataset"], model_path="echo"))


def send(browser: Client, filled: QueryDict, **changes: str) -> Any:
    for name, value in changes.items():
        filled[name.replace("__", ".")] = value
    return browser.post(reverse(NEW), filled.urlencode(), content_type="application/x-www-form-urlencoded")


def test_the_form_makes_what_the_api_would_make(
    browser: Client, filled: QueryDict, payload: dict[str, Any], actor: Principal, team: Any
) -> None:
    answer = send(browser, filled)
    assert answer.status_code == 302 and answer["Location"] == reverse("service", args=["echo"])
    by_form = Service.objects.get(name="echo")
    by_api = verbs.create({**payload, "name": "by-api"}, team=team, actor=actor)
    assert by_form.target_revision.spec == by_api.target_revision.spec
    assert (by_form.state, by_form.desired, by_form.created_by) == (states.PREHEATING, RUNNING, "alice")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "new", "is taken by the console itself"),
        ("name", "stats", "is taken by the console itself"),
        ("model_path", "missing", "missing"),
        ("replicas", "60", "Queue default is too small"),
        ("framework", "vllm", "is not installed"),
        ("limits__max_payload_mib", "17", "The gateway takes at most 16 MiB."),
        ("team", "speech", "Choose a team in which you may create services."),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(
    field: str, value: str, message: str, browser: Client, filled: QueryDict
) -> None:
    answer = send(browser, filled, **{field: value})
    text = answer.content.decode()
    assert answer.status_code == 422 and message in text and 'aria-invalid="true"' in text
    assert "The service was not created" in text
    assert not Service.objects.exists()


def test_all_that_is_wrong_is_said_at_once_and_what_was_typed_stays(browser: Client, filled: QueryDict) -> None:
    filled.setlist("env.name", ["1BAD", "GOOD"])
    filled.setlist("env.value", ["x", "kept value"])
    text = send(browser, filled, name="Bad Name", resources__gpu="x").content.decode()
    assert "Use lower-case letters" in text and "whole number from 0 to 64" in text and "A name has letters" in text
    assert 'value="Bad Name"' in text and 'value="kept value"' in text


def test_the_summary_calls_fields_and_lists_as_the_page_does(browser: Client, filled: QueryDict) -> None:
    filled.setlist("env.name", ["1BAD"])
    filled.setlist("env.value", ["x"])
    text = send(browser, filled, framework_config__max_batch_size="-1").content.decode()
    summary = text[text.index('id="summary"') :]
    summary = summary[: summary.index("</div>")]
    assert ">Max batch size</a>: Must be a whole number" in summary
    assert "<li>Environment variables: A name has letters" in summary


def test_a_page_made_of_markup_stays_text(browser: Client, filled: QueryDict) -> None:
    text = send(browser, filled, name="<script>x</script>").content.decode()
    assert "<script>x" not in text and "&lt;script&gt;x" in text


@pytest.mark.parametrize(
    ("name", "message"), [("free-name", "is free"), ("echo", "already"), ("Bad", "lower-case"), ("", "lower-case")]
)
def test_the_name_is_checked_while_it_is_typed(
    name: str, message: str, browser: Client, make: Callable[..., Service]
) -> None:
    make()
    assert message in browser.get(reverse("service-check-name"), {"name": name}).content.decode()


def test_a_link_from_a_dataset_chooses_the_model(browser: Client, payload: dict[str, Any], queue: Queue) -> None:
    text = browser.get(reverse(NEW), {"dataset": payload["dataset"], "path": "echo"}).content.decode()
    assert 'value="echo"' in text and f'<option value="{payload["dataset"]}" selected>' in text
    assert "Can be served as is." in text and 'value="IN"' in text


def test_the_form_says_what_is_free_and_why_vllm_is_not(browser: Client, queue: Queue, team: Any) -> None:
    text = browser.get(reverse(NEW)).content.decode()
    assert "default: 4 of 4 CPU, 8 of 8 GiB free" in text
    assert "The vLLM runtime is not installed" in text and 'value="vllm" disabled' in text


def test_browsing_goes_from_folder_to_model(browser: Client, payload: dict[str, Any]) -> None:
    url, name = reverse("service-browse"), payload["dataset"]
    root = browser.get(url, {"dataset": name}).content.decode()
    assert "A Triton repository of 1 model: echo." in root and "Can be served as is." in root
    model = browser.get(url, {"dataset": name, "path": "echo"}).content.decode()
    assert "config.pbtxt" in model and "Can be served as is." in model and 'hx-swap-oob="outerHTML"' in model
    missing = browser.get(url, {"dataset": name, "path": "nothing"}).content.decode()
    assert "There is no nothing in this dataset." in missing
    outside = browser.get(url, {"dataset": name, "path": "../.."}).content.decode()
    assert "cannot contain" in outside and "passwd" not in outside


def test_the_model_is_read_for_its_inputs(browser: Client, payload: dict[str, Any]) -> None:
    query = {"dataset": payload["dataset"], "model_path": "echo", "framework": "triton"}
    text = browser.get(reverse("service-model"), query).content.decode()
    read = json.dumps([{"name": "IN", "datatype": "FP32", "shape": [-1]}]).replace('"', "&quot;")
    assert f'name="framework_config.inputs.read" value="{read}"' in text and 'value="OUT"' in text


def test_the_preview_gives_a_verdict_on_every_node(browser: Client, filled: QueryDict, node: Node) -> None:
    Node.objects.create(name="far", labels={"zone": "b"}, cpu=8, memory_gib=16)  # of another machine
    filled.setlist("affinity.required.key", ["zone"])
    filled.setlist("affinity.required.operator", ["In"])
    filled.setlist("affinity.required.values", ["b"])
    text = preview(browser, filled)
    assert "services run on node local" in text and "zone In [b] does not hold: zone is a" in text
    filled.setlist("affinity.required.values", ["a"])
    assert "Placed on local." in preview(browser, filled)
    filled["resources.cpu"] = "100"
    assert "needs 100 CPU, 8 free" in preview(browser, filled)
    filled["resources.cpu"] = "x"
    assert "CPUs: Must be a number" in preview(browser, filled)


def preview(browser: Client, filled: QueryDict) -> str:
    url = reverse("service-placement")
    answer = browser.post(url, filled.urlencode(), content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_preview_takes_nothing_from_the_url(browser: Client) -> None:
    assert browser.get(reverse("service-placement")).status_code == 405


def test_an_edit_starts_from_what_there_is_and_makes_a_revision(ready: Callable[..., Service], browser: Client) -> None:
    service = ready(env={"LOG": "1"}, framework_config={"instances": 2})
    url = reverse("service-edit", args=[service.name])
    text = browser.get(url).content.decode()
    assert 'value="LOG"' in text and "Save as a new revision" in text and 'id="id_name"' not in text
    sent = post_of(forms.from_spec("", "", 1, service.target_revision.spec))
    sent["framework_config.instances"] = "3"
    answer = browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded", follow=True)
    assert "Revision 2 is being rolled out." in answer.content.decode()
    service.refresh_from_db()
    assert service.target_revision.spec["framework_config"] == {"instances": 3}
    assert service.target_revision.spec["env"] == {"LOG": "1"}


def test_an_edit_that_changes_nothing_makes_no_revision(ready: Callable[..., Service], browser: Client) -> None:
    service = ready()
    sent = post_of(forms.from_spec("", "", 1, service.target_revision.spec))
    url = reverse("service-edit", args=[service.name])
    answer = browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 302 and service.revisions.count() == 1


def test_a_wrong_edit_changes_nothing(ready: Callable[..., Service], browser: Client) -> None:
    service = ready()
    sent = post_of(forms.from_spec("", "", 1, service.target_revision.spec))
    sent["model_path"], sent["replicas"] = "missing", "2"
    url = reverse("service-edit", args=[service.name])
    answer = browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 422 and "Nothing was changed" in answer.content.decode()
    service.refresh_from_db()
    assert service.replicas == 1 and service.revisions.count() == 1


def test_a_form_that_was_opened_before_somebody_elses_save_is_refused(
    ready: Callable[..., Service], browser: Client, actor: Principal
) -> None:
    service = ready()
    url = reverse("service-edit", args=[service.name])
    assert '<input type="hidden" name="revision" value="1">' in browser.get(url).content.decode()
    sent = post_of(forms.from_spec("", "", 1, service.target_revision.spec))
    sent["revision"], sent["limits.concurrency"] = "1", "3"
    verbs.edit(service, {"env": {"WHO": "theirs"}}, actor=actor)
    for _ in range(2):  # trying again does not help
        answer = browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded")
        text = answer.content.decode()
        assert answer.status_code == 422 and "alice saved revision 2 after you had opened revision 1" in text
        assert 'name="revision" value="1"' in text and 'name="limits.concurrency" value="3"' in text
    assert service.revisions.count() == 2
    assert Service.objects.get().target_revision.spec["env"] == {"WHO": "theirs"}


def test_an_edit_leaves_alone_how_far_somebody_else_has_scaled_since(
    ready: Callable[..., Service], browser: Client, actor: Principal
) -> None:
    service = ready()
    url = reverse("service-edit", args=[service.name])
    assert '<input type="hidden" name="replicas.was" value="1">' in browser.get(url).content.decode()
    sent = post_of(forms.from_spec("", "", 1, service.target_revision.spec))
    sent["revision"], sent["replicas.was"], sent["limits.concurrency"] = "1", "1", "3"
    verbs.scale(service, 3, actor=actor)
    assert browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded").status_code == 302
    now = Service.objects.get()
    assert now.replicas == 3 and now.target_revision.spec["limits"]["concurrency"] == 3


def test_the_page_shows_access_and_limits(ready: Callable[..., Service], browser: Client) -> None:
    ready(
        auth={"header": "x-tenant-key", "parameters": [{"name": "x-tenant", "value": "blue"}]},
        limits={"max_payload_mib": 4, "concurrency": 2},
    )
    text = browser.get(reverse("service", args=["echo"])).content.decode()
    assert "x-tenant-key" in text and "x-tenant: blue" in text
    assert "requests of up to 4 MiB" in text and "2 requests at once" in text


def test_the_model_of_a_repository_that_callers_call_is_chosen_in_the_form(
    browser: Client, filled: QueryDict, dataset: Any
) -> None:
    write(Path(dataset.options["path"]) / "two", {**python_model("one"), **python_model("other")})
    refused = send(browser, filled, name="texts", model_path="two").content.decode()
    assert "name the model that callers call in the option model" in refused and 'value="one"' in refused
    assert send(browser, filled, framework_config__model="other").status_code == 302
    assert Service.objects.get().target_revision.spec["framework_config"] == {"model": "other"}
    page = browser.get(reverse("service-edit", args=["texts"])).content.decode()
    assert '<option value="other" selected>other</option>' in page
