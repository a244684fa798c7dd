"""The page of one round: how far it is, its files and log, its buttons, and who may open and press what."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from console.models import Team
from datasets import states
from datasets.actions import verbs
from datasets.actions.rounds import request_round
from datasets.models import Dataset, Round
from datasets.preheat.store.trees import Store
from datasets.views import rounds
from tests.datasets.looking import fresh
from tests.datasets.queries.test_round_files import under_way
from tests.datasets.worker import Worker

ClientOf = Callable[[User | None], Client]
HX = {"HX-Request": "true", "HX-Target": "round"}
HX_FILES = {"HX-Request": "true", "HX-Target": "round-files"}


@pytest.fixture
def job(dataset: Dataset, owner: Principal) -> Round:
    return request_round(dataset, "svm", actor=owner)


@pytest.fixture
def browser(alice: User, client_of: ClientOf) -> Client:
    return client_of(alice)


def url(job: Round, verb: str = "") -> str:
    return reverse(f"round-{verb}" if verb else "round", args=[job.dataset.name, job.pk])


def text(client: Client, job: Round, query: str = "", **headers: str) -> str:
    answer = client.get(url(job) + query, headers=headers)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_round_under_way_shows_total_files_and_log(browser: Client, job: Round, store: Store) -> None:
    under_way(job, store)
    Round.objects.update(bytes_total=16 << 20, bytes_done=5 << 20, bytes_per_second=1 << 20, files_total=4)
    page = text(browser, job)
    assert "5.0 MiB of 16.0 MiB, 1.0 MiB/s, 11 s left" in page and 'value="31"' in page
    assert page.index("00001.bin") < page.index("00000.bin") < page.index("00002.bin")
    assert "1.0 MiB of 4.0 MiB" in page and 'value="25"' in page
    assert "Requested by alice." in page and "Mirror: exactly what is at the source now" in page
    assert 'hx-trigger="every 1s"' in page and 'hx-trigger="every 2s"' in page


def test_a_poll_brings_only_what_changes(browser: Client, job: Round, store: Store) -> None:
    under_way(job, store)
    head = text(browser, job, **HX)
    assert 'id="round"' in head and "<html" not in head and "00001.bin" not in head
    files = text(browser, job, "?page=1", **HX_FILES)
    assert 'id="round-files"' in files and "00001.bin" in files and "Requested by" not in files


def test_a_round_that_is_over_is_asked_for_no_more(worker: Worker, browser: Client, job: Round) -> None:
    worker.run(job)
    page = text(browser, job)
    assert 'hx-get="/datasets/' not in page  # the frame of the page goes on asking what is wrong with the console
    assert "copied and verified" in page and "1/weights.bin" in page and fresh(job).tree in page
    assert "hx-trigger" not in text(browser, job, **HX) + text(browser, job, **HX_FILES)


def test_files_are_filtered_and_paged(
    browser: Client, job: Round, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "FILES", 2)
    under_way(job, store, count=7)
    first = text(browser, job)
    assert all(label in first for label in ("All 7", "Copying 1", "Waiting 5", "Copied 1"))
    assert "00002.bin" not in first and "00002.bin" in text(browser, job, "?page=2")
    waiting = text(browser, job, "?state=waiting")
    assert "00002.bin" in waiting and "00000.bin" not in waiting and "?state=waiting&amp;page=2" in waiting
    assert f'hx-get="{url(job)}?state=waiting&amp;page=1"' in waiting
    assert "00000.bin" in text(browser, job, "?state=nonsense")
    assert "No file is copied now." not in text(browser, job, "?state=there")


def test_names_of_files_are_only_names(browser: Client, job: Round, dataset: Dataset) -> None:
    Round.objects.filter(pk=job.pk).update(path="<img src=x>&?#", message="<b>no</b>", state=states.FAILED)
    page = text(browser, job)
    assert "<img src=x>" not in page and "<b>no</b>" not in page and "&lt;b&gt;no&lt;/b&gt;" in page
    assert "?path=%3Cimg%20src%3Dx%3E%26%3F%23" in page


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (states.COPYING, {"pause", "cancel"}),
        (states.PAUSED, {"resume", "cancel"}),
        (states.FAILED, {"retry"}),
        (states.DONE, set()),
    ],
)
def test_the_buttons_are_those_that_the_state_allows(
    state: str, offered: set[str], browser: Client, job: Round, bob: User, client_of: ClientOf
) -> None:
    Round.objects.update(state=state)
    for page in (text(browser, job), browser.get(reverse("dataset", args=["models"])).content.decode()):
        assert {verb for verb in verbs.ALL if f'action="{url(job, verb)}"' in page} == offered
    assert "<form" not in text(client_of(bob), job).split('id="content"')[1]


def test_a_round_is_paused_resumed_cancelled_and_tried_again(browser: Client, job: Round) -> None:
    steps = [("pause", states.PAUSED), ("resume", states.PENDING), ("cancel", states.CANCELLED)]
    for verb, state in steps:
        assert browser.post(url(job, verb))["Location"] == url(job)
        assert fresh(job).state == state
    answer = browser.post(url(job, "retry"))
    again = Round.objects.active().get()
    assert answer["Location"] == url(again) and again.pk != job.pk and again.path == "svm"
    assert browser.post(url(again, "cancel"), {"back": "dataset"})["Location"].endswith("/datasets/models/#rounds")


def test_what_the_state_does_not_allow_is_refused(browser: Client, job: Round) -> None:
    Round.objects.update(state=states.DONE)
    assert [browser.post(url(job, verb)).status_code for verb in verbs.ALL] == [409] * 4
    assert [browser.get(url(job, verb)).status_code for verb in verbs.ALL] == [405] * 4


def test_the_mode_is_chosen_with_the_folder(browser: Client, dataset: Dataset) -> None:
    prepare = reverse("dataset-preheat", args=[dataset.name])
    assert 'name="mode" value="keep"' in browser.get(reverse("dataset", args=["models"])).content.decode()
    browser.post(prepare, {"path": "svm", "mode": "keep"})
    assert Round.objects.get().mode == states.KEEP
    assert browser.post(prepare, {"path": "", "mode": "sync"}).status_code == 400
    assert Round.objects.count() == 1


def test_who_may_look_at_a_round(
    job: Round, alice: User, bob: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    for headers in ({}, HX, HX_FILES):
        answers = [
            client_of(user).get(url(job), headers=headers).status_code for user in (alice, bob, admin, charlie, None)
        ]
        assert answers == [200, 200, 200, 404, 302]


@pytest.mark.parametrize("verb", verbs.ALL)
def test_who_may_press_its_buttons(
    verb: str, job: Round, alice: User, bob: User, charlie: User, client_of: ClientOf
) -> None:
    state = {"resume": states.PAUSED, "retry": states.FAILED}.get(verb, states.PENDING)
    Round.objects.update(state=state)
    refused = [client_of(user).post(url(job, verb)).status_code for user in (bob, charlie, None)]
    assert refused == [403, 404, 302]
    assert fresh(job).state == state and not fresh(job).pause_requested and Round.objects.count() == 1
    assert client_of(alice).post(url(job, verb)).status_code == 302
    assert fresh(job).state != state or Round.objects.count() == 2


def test_a_round_of_another_dataset_is_not_reached_through_ones_own(
    job: Round, other_team: Team, charlie: User, client_of: ClientOf
) -> None:
    Dataset.objects.create(team=other_team, name="theirs", kind="local", created_by="charlie")
    client = client_of(charlie)
    assert client.get(reverse("round", args=["theirs", job.pk])).status_code == 404
    for verb in verbs.ALL:
        assert client.post(reverse(f"round-{verb}", args=["theirs", job.pk])).status_code == 404


@pytest.mark.slow
def test_the_page_of_twenty_thousand_files_stays_small(browser: Client, job: Round, store: Store) -> None:
    under_way(job, store, count=20_000, done=10_000)
    page = text(browser, job)
    assert len(re.findall(r"\d{5}\.bin</code>", page)) == rounds.FILES and "All 20000" in page
    assert len(page) < 120_000
