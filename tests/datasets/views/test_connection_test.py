"""The form of a dataset, whatever its kind: the fields that the kind declares, and the button that tries them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from console.home import Home
from console.models import Team
from datasets import credentials
from datasets.actions import drafts
from datasets.models import Dataset
from tests.datasets.guarded import WORD, guard

ClientOf = Callable[[User | None], Client]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def browser(alice: User, client_of: ClientOf) -> Client:
    return client_of(alice)


@pytest.fixture
def form(guarded_kind: None, home: Home, files: Path, team: Team) -> dict[str, str]:
    """A form that is right."""
    guard(files)
    return {
        "name": "mine",
        "team": str(team.pk),
        "kind": "guarded",
        "options.place": str(files),
        "credentials.word": WORD,
        "credentials.second": "",
        "options.manner": "polite",
        "options.list": "a\r\nb",
        "description": "",
    }


def errors_at(page: str, field: str) -> str:
    """What the page, or a fragment, says of a field."""
    match = re.search(rf'<ul class="errors" id="id_{re.escape(field)}_error"[^>]*>(.*?)</ul>', page, re.S)
    assert match, page
    return match[1]


def secrets_of(dataset: Dataset) -> dict[str, str]:
    dataset.refresh_from_db()
    return credentials.unseal(dataset.name, dataset.credentials)


def test_choosing_a_kind_brings_its_fields(guarded_kind: None, home: Home, browser: Client, team: Team) -> None:
    whole = browser.get(reverse("datasets") + "?new").content.decode()
    assert 'name="options.path"' in whole and 'value="guarded"' in whole and 'name="credentials.word"' not in whole
    fragment = browser.get(reverse("datasets") + "?new&kind=guarded", headers=HTMX).content.decode()
    assert "<html" not in fragment and 'name="options.path"' not in fragment
    assert re.search(r'<input type="password" name="credentials.word"[^>]* required', fragment)
    assert re.search(r'<select name="options.manner".*Politely.*Rudely.*</select>', fragment, re.S)
    assert "<textarea" in fragment and "What opens it." in fragment
    assert browser.get(reverse("datasets") + "?new&kind=floppy", headers=HTMX).status_code == 200


def test_a_kind_is_chosen_without_a_script_too(form: dict[str, str], browser: Client) -> None:
    page = browser.post(reverse("datasets"), {**form, "name": "kept-name", "again": "1"}).content.decode()
    assert 'name="credentials.word"' in page and 'value="kept-name"' in page and WORD not in page
    assert not Dataset.objects.exists() and "is required" not in page


def test_a_dataset_with_credentials_is_made_by_form(form: dict[str, str], browser: Client) -> None:
    assert browser.post(reverse("datasets"), form)["Location"] == reverse("dataset", args=["mine"])
    dataset = Dataset.objects.get()
    assert dataset.options == {"place": form["options.place"], "manner": "polite", "list": "a\r\nb"}
    assert secrets_of(dataset) == {"word": WORD}
    page = browser.get(reverse("dataset", args=["mine"])).content.decode()
    assert "<dt>Word</dt><dd>set</dd>" in page and "Politely" in page and WORD not in page
    assert form["options.place"] in browser.get(reverse("datasets")).content.decode()


def test_what_a_form_gets_wrong_is_said_at_its_field_and_no_secret_comes_back(
    form: dict[str, str], browser: Client
) -> None:
    page = browser.post(reverse("datasets"), {**form, "credentials.word": "guess-work"}).content.decode()
    assert "not the word" in errors_at(page, "credentials.word") and errors_at(page, "options.place") == ""
    assert "guess-work" not in page and form["options.place"] in page


def test_a_connection_is_tested_without_a_name_and_without_saving(form: dict[str, str], browser: Client) -> None:
    fragment = browser.post(
        reverse("datasets"), {**form, "name": "", "team": "", "check": "1"}, headers=HTMX
    ).content.decode()
    assert "notice green" in fragment and "The folder opened." in fragment and "<html" not in fragment
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"credentials.word": "guess"}, "credentials.word", "not the word"),
        ({"credentials.word": ""}, "credentials.word", "required"),
        ({"options.place": "/etc"}, "options.place", "not inside a directory"),
        ({"options.manner": "rude"}, "options.manner", "Not in that manner"),
        ({"options.manner": "loud"}, "options.manner", "not one of the available choices"),
    ],
)
def test_a_test_says_what_is_wrong_beside_its_field(
    changes: dict[str, str], field: str, text: str, form: dict[str, str], browser: Client
) -> None:
    fragment = browser.post(reverse("datasets"), {**form, **changes, "check": "1"}, headers=HTMX).content.decode()
    assert "notice red" in fragment and 'hx-swap-oob="true"' in fragment
    assert text in errors_at(fragment, field)
    others = {"options.place", "credentials.word", "options.manner"} - {field}
    assert {errors_at(fragment, other) for other in others} == {""}  # what an earlier test said there is taken back


def test_a_test_of_a_kind_that_there_is_not_says_so(form: dict[str, str], browser: Client) -> None:
    fragment = browser.post(
        reverse("datasets"), {**form, "kind": "floppy", "options.path": "/x", "check": "1"}, headers=HTMX
    ).content.decode()
    assert "There is no source of kind" in fragment


def test_a_connection_is_tested_without_a_script_too(form: dict[str, str], browser: Client) -> None:
    page = browser.post(reverse("datasets"), {**form, "check": "1"}).content.decode()
    assert "<html" in page and "The folder opened." in page and form["options.place"] in page
    assert not Dataset.objects.exists()


def test_an_edited_dataset_keeps_what_is_left_empty(guarded_dataset: Dataset, files: Path, browser: Client) -> None:
    url = reverse("dataset-edit", args=["guarded"])
    page = browser.get(url).content.decode()
    assert "One is set: leave this empty to keep it." in page and WORD not in page and "gAAAA" not in page
    assert 'name="remove.word"' not in page  # a required one is replaced, not removed
    sent = {"options.place": str(files), "credentials.word": "", "credentials.second": "two", "description": "x"}
    assert browser.post(url, sent).status_code == 302
    assert secrets_of(guarded_dataset) == {"word": WORD, "second": "two"}
    assert 'name="remove.second"' in browser.get(url).content.decode()
    assert browser.post(url, {**sent, "credentials.second": "", "remove.second": "on"}).status_code == 302
    assert secrets_of(guarded_dataset) == {"word": WORD}


def test_an_edited_place_asks_for_the_credentials_anew(guarded_dataset: Dataset, files: Path, browser: Client) -> None:
    guard(files.parent / "mine", "mine")
    url, sent = reverse("dataset-edit", args=["guarded"]), {"options.place": str(files.parent / "mine")}
    for more in ({}, {"check": "1"}):
        page = browser.post(url, {**sent, **more}).content.decode()
        assert "Enter it again" in errors_at(page, "credentials.word")
    answer = browser.post(url, {**sent, "check": "1", "credentials.word": "mine"}, headers=HTMX).content.decode()
    assert "The folder opened." in answer and secrets_of(guarded_dataset) == {"word": WORD}
    assert guarded_dataset.options == {"place": str(files)}


def test_a_dataset_is_tested_as_it_is(guarded_dataset: Dataset, files: Path, browser: Client) -> None:
    url = reverse("dataset-check", args=["guarded"])
    assert url in browser.get(reverse("dataset", args=["guarded"])).content.decode()
    assert "The folder opened." in browser.post(url, headers=HTMX).content.decode()
    assert "The folder opened." in browser.post(url, follow=True).content.decode()
    guard(files, "another")
    assert "not the word" in browser.post(url, headers=HTMX).content.decode()
    assert browser.get(url).status_code == 405


def test_a_dataset_whose_key_is_lost_still_has_its_pages(guarded_dataset: Dataset, home: Home, browser: Client) -> None:
    home.secrets_key.unlink()
    page = browser.get(reverse("dataset", args=["guarded"]))
    assert page.status_code == 400 and "cannot be read" in page.content.decode()
    assert (
        "enter the credentials again"
        in browser.post(reverse("dataset-check", args=["guarded"]), headers=HTMX).content.decode()
    )
    assert browser.get(reverse("dataset-edit", args=["guarded"])).status_code == 200
    assert browser.get(reverse("datasets")).status_code == 200


def test_only_editors_test_connections(
    guarded_dataset: Dataset, form: dict[str, str], bob: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    new, stored = reverse("datasets"), reverse("dataset-check", args=["guarded"])
    edited = reverse("dataset-edit", args=["guarded"])
    form["check"] = "1"
    everybody = [client_of(who) for who in (bob, charlie, admin, None)]
    assert [who.post(new, form).status_code for who in everybody] == [403, 200, 200, 302]
    assert [who.post(stored).status_code for who in everybody] == [403, 404, 302, 302]
    assert [who.post(edited, form).status_code for who in everybody] == [403, 404, 200, 302]


def test_who_tests_too_often_is_told_to_wait(
    guarded_dataset: Dataset, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "CHECKS", 2)  # making the dataset was the first
    url = reverse("dataset-check", args=["guarded"])
    assert [browser.post(url, headers=HTMX).status_code for _ in range(2)] == [200, 429]


def test_everybody_who_may_make_a_dataset_sees_what_is_allowed_and_administrators_all_of_it(
    guarded_kind: None,
    home: Home,
    tmp_path: Path,
    browser: Client,
    bob: User,
    admin: User,
    team: Team,
    client_of: ClientOf,
    settings: Settings,
) -> None:
    settings.DATASET_ENDPOINTS = ["models.example.org:9000"]
    new = reverse("datasets") + "?new"
    local, guarded = browser.get(new).content.decode(), browser.get(f"{new}&kind=guarded").content.decode()
    assert str(tmp_path / "allowed") in local and "models.example.org" not in local
    assert "models.example.org:9000" in guarded and "DATASET_ENDPOINTS" in guarded
    page = client_of(admin).get(reverse("datasets")).content.decode()
    assert str(tmp_path / "allowed") in page and "models.example.org:9000" in page and 'id="allowed"' in page
    assert 'id="allowed"' not in client_of(bob).get(reverse("datasets")).content.decode()
