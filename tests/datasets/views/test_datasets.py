"""The pages of datasets: make one, browse it, see what a folder is, prepare it, delete it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.home import Home
from console.models import Team
from datasets.models import Dataset, Round
from datasets.views import datasets
from tests.datasets.worker import Worker

ClientOf = Callable[[User | None], Client]


@pytest.fixture
def browser(alice: User, client_of: ClientOf) -> Client:
    return client_of(alice)


def text(client: Client, dataset: Dataset, query: str = "") -> str:
    return client.get(reverse("dataset", args=[dataset.name]) + query).content.decode()


def test_a_dataset_is_made_by_form(browser: Client, team: Team, home: Home, files: Path) -> None:
    page = browser.get(reverse("datasets") + "?new").content.decode()
    assert all(label in page for label in ("Directory of this machine", "NFS", "S3 bucket", "HTTP", "Hugging Face"))
    sent = {
        "name": "mine",
        "team": str(team.pk),
        "kind": "local",
        "options.path": str(files),
        "description": "For tests.",
    }
    assert browser.post(reverse("datasets"), sent)["Location"] == reverse("dataset", args=["mine"])
    dataset = Dataset.objects.get()
    assert (dataset.team, dataset.options, dataset.description) == (team, {"path": str(files)}, "For tests.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Mine!"}, "lower-case letters"),
        ({"name": "models"}, "There is a dataset named models already."),
        ({"options.path": ""}, "This field is required."),
        ({"options.path": "/etc"}, "DATASET_ROOTS"),
        ({"kind": "floppy"}, "There is no source of kind"),
    ],
)
def test_what_is_wrong_with_a_new_dataset_is_said(
    changes: dict[str, str], message: str, browser: Client, team: Team, dataset: Dataset, files: Path
) -> None:
    sent = {"name": "mine", "team": str(team.pk), "kind": "local", "options.path": str(files), **changes}
    page = browser.post(reverse("datasets"), sent)
    assert page.status_code == 200 and message in page.content.decode().split("Preheat")[0]
    assert 'class="errors"' in page.content.decode() or "notice red" in page.content.decode()
    assert Dataset.objects.count() == 1


def test_a_folder_shows_sizes_times_and_what_it_is(browser: Client, dataset: Dataset, files: Path) -> None:
    os.utime(files / "README.txt", (1_000_000_000, 1_000_000_000))
    page = text(browser, dataset)
    assert "README.txt" in page and "7 B" in page and "2001-09-09" in page
    assert "A Triton repository of 1 model: svm." in page
    model = text(browser, dataset, "?path=svm")
    assert "A Triton model (python) with version 1." in model
    assert f"{reverse('service-new')}?dataset=models&amp;path=svm" in model


def test_problems_of_a_folder_are_listed(browser: Client, dataset: Dataset, files: Path) -> None:
    (files / "empty").mkdir()
    (files / "broken").mkdir()
    (files / "broken" / "config.pbtxt").write_text('backend: "python"\n')
    assert "An empty folder" in text(browser, dataset, "?path=empty")
    assert "There is no version folder" in text(browser, dataset, "?path=broken")


@pytest.mark.parametrize("path", ["../..", "/etc", "nowhere", "svm/../../..", "a%00b"])
def test_a_path_outside_or_not_there_is_explained(path: str, browser: Client, dataset: Dataset) -> None:
    answer = browser.get(reverse("dataset", args=[dataset.name]) + f"?path={path}")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode() and "Root of the dataset" in answer.content.decode()


def test_names_that_look_like_markup_are_only_names(browser: Client, dataset: Dataset, files: Path) -> None:
    (files / "<img src=x>&?#.txt").write_text("x")
    (files / "a&b=c #1").mkdir()
    page = text(browser, dataset)
    assert "<img src=x>" not in page and "&lt;img src=x&gt;" in page
    assert "?path=a%26b%3Dc+%231" in page
    assert text(browser, dataset, "?path=a%26b%3Dc+%231").count("An empty folder") >= 1


def test_a_large_folder_is_shown_page_by_page(
    browser: Client, dataset: Dataset, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "FOLDER_PAGE", 2)
    many = files / "many"
    many.mkdir()
    for number in range(5):
        (many / f"file-{number}").write_text("x")
    first, second = text(browser, dataset, "?path=many"), text(browser, dataset, "?path=many&after=2")
    assert "file-1" in first and "file-2" not in first and "path=many&amp;after=2" in first
    assert "file-2" in second and "file-1" not in second and "First" in second
    assert text(browser, dataset, "?path=many&after=x") == first or "file-0" in text(
        browser, dataset, "?path=many&after=x"
    )


def test_preheating_is_asked_for_and_shown_until_it_is_done(worker: Worker, browser: Client, dataset: Dataset) -> None:
    answer = browser.post(reverse("dataset-preheat", args=[dataset.name]), {"path": "svm"})
    assert answer["Location"] == reverse("dataset", args=[dataset.name]) + "?path=svm#rounds"
    rounds = reverse("dataset-rounds", args=[dataset.name])
    before = browser.get(rounds).content.decode()
    assert "Waiting for a worker." in before and 'hx-trigger="every 1s"' in before and "<progress" in before
    worker.run(Round.objects.get())
    after = browser.get(rounds).content.decode()
    assert "Done" in after and "copied and verified" in after and 'hx-trigger="every 5s"' in after
    assert "<html" not in after


def test_a_path_that_cannot_be_prepared_is_refused(browser: Client, dataset: Dataset) -> None:
    answer = browser.post(reverse("dataset-preheat", args=[dataset.name]), {"path": "../etc"})
    assert answer.status_code == 400 and "cannot contain" in answer.content.decode()
    assert not Round.objects.exists()


def test_a_round_is_cancelled(worker: Worker, browser: Client, dataset: Dataset) -> None:
    job = worker.request()
    url = reverse("round-cancel", args=[dataset.name, job.pk])
    assert url in text(browser, dataset)
    assert browser.post(url).status_code == 302
    job.refresh_from_db()
    assert job.state == "CANCELLED"
    assert url not in text(browser, dataset)
    Round.objects.update(state="DONE")
    assert browser.post(url).status_code == 409  # over already
    assert browser.get(url).status_code == 405


def test_a_dataset_is_changed(browser: Client, dataset: Dataset, files: Path) -> None:
    url = reverse("dataset-edit", args=[dataset.name])
    assert str(files) in browser.get(url).content.decode()
    sent = {"description": "New words.", "options.path": str(files / "svm")}
    assert browser.post(url, sent)["Location"] == reverse("dataset", args=[dataset.name])
    dataset.refresh_from_db()
    assert dataset.description == "New words." and dataset.options == {"path": str(files / "svm")}
    wrong = browser.post(url, {**sent, "options.path": "/etc"}).content.decode()
    assert "DATASET_ROOTS" in wrong
    dataset.refresh_from_db()
    assert dataset.options == {"path": str(files / "svm")}


def test_a_dataset_is_deleted_only_with_its_name_typed(browser: Client, dataset: Dataset, files: Path) -> None:
    url = reverse("dataset-delete", args=[dataset.name])
    assert browser.post(url, {"confirm": "model"}).status_code == 400
    assert Dataset.objects.exists()
    assert browser.post(url, {"confirm": "models"})["Location"] == reverse("datasets")
    assert not Dataset.objects.exists() and (files / "README.txt").exists()
