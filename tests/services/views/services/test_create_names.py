"""Folders with blanks at the ends of their names, through the forms of a dataset and of a service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.models import Team
from console.templatetags.console import exact
from datasets.models import Dataset, Round
from services import forms
from services.models import Service
from tests.services.test_forms import post_of
from tests.services.world import World

FOLDERS = ["echo ", " echo", "e  cho", "écho+%20&#?", "-rf", "~echo", "echo."]


@pytest.fixture
def browser(alice: User, client_of: Callable[[User | None], Client]) -> Client:
    return client_of(alice)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_browsed_chosen_and_served_by_its_exact_name(
    browser: Client, world: World, payload: dict[str, Any], dataset: Dataset, name: str
) -> None:
    root = Path(dataset.options["path"])
    shutil.copytree(root / "echo", root / "in " / name)
    path, address = f"in /{name}", reverse("dataset", args=[dataset.name])
    assert f"?{urlencode({'path': path})}" in browser.get(address, {"path": "in "}).content.decode()
    page = browser.get(address, {"path": path})
    assert page.status_code == 200 and "A Triton model" in page.content.decode()
    assert browser.post(reverse("dataset-preheat", args=[dataset.name]), {"path": path}).status_code == 302
    assert Round.objects.get().path == path
    filled = post_of(forms.blank(name="echo", team="vision", dataset=dataset.name, model_path=path))
    answer = browser.post(reverse("service-new"), filled.urlencode(), content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 302, answer.content.decode()
    service = Service.objects.get(name="echo")
    assert service.target_revision.spec["model_path"] == path
    browser.post(reverse("service-edit", args=["echo"]), filled.urlencode(), "application/x-www-form-urlencoded")
    assert service.target_revision.spec["model_path"] == path
    assert exact(path).replace("&", "&amp;") in browser.get(reverse("service", args=["echo"])).content.decode()


def test_the_api_takes_the_same_path_as_the_form(
    browser: Client, world: World, payload: dict[str, Any], dataset: Dataset
) -> None:
    root = Path(dataset.options["path"])
    (root / "echo").rename(root / "echo ")
    body = json.dumps({**payload, "model_path": "echo /"})
    answer = browser.post(reverse("api-service-list"), body, content_type="application/json")
    assert answer.status_code == 201, answer.content.decode()
    assert answer.json()["model_path"] == "echo "
    wrong = browser.post(reverse("api-service-list"), body.replace("echo /", "echo"), content_type="application/json")
    assert "There is no echo in this dataset" in wrong.content.decode()


def test_the_directory_of_a_dataset_keeps_its_blanks_and_a_wrong_one_is_seen(
    browser: Client, team: Team, dataset: Dataset
) -> None:
    root = Path(dataset.options["path"])
    folder = f"{root} "
    form = {"name": "blank", "team": team.pk, "kind": "local", "options.path": folder, "description": ""}
    refused = browser.post(reverse("datasets"), form).content.decode()
    assert f"&#x27;{folder}&#x27; does not exist on this machine. A folder in it has a blank at its end" in refused
    shutil.copytree(root, folder)
    assert browser.post(reverse("datasets"), form).status_code == 302
    assert Dataset.objects.get(name="blank").options == {"path": folder}
    edit = {"options.path": folder, "description": "changed"}
    assert browser.post(reverse("dataset-edit", args=["blank"]), edit).status_code == 302
    assert Dataset.objects.get(name="blank").options == {"path": folder}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("echo", "echo"),
        ("echo ", "echo␣"),
        ("  echo", "␣␣echo"),
        ("a  b c", "a␣␣b c"),
        ("a\nb\t", r"a\nb\t"),
        ("模型 🤖", "模型 🤖"),
    ],
)
def test_a_page_shows_the_blanks_that_it_would_swallow(name: str, shown: str) -> None:
    assert exact(name) == shown
