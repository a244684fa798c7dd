"""What a copy leaves out is said wherever somebody could wonder: page, API, report, log, and when a service is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from datasets import wiring
from datasets.actions import trust
from datasets.models import Dataset, RoundLine
from datasets.queries import reports
from datasets.specs import LeftOut, left_out_text
from services.actions import checks
from tests.datasets.looking import fresh
from tests.datasets.worker import Worker
from tests.rest import Api

DANGLING = "a link to gone.txt, which does not exist"
CONFIG = """backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [ 1 ] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [ 1 ] }]
"""


@pytest.fixture
def model(dataset: Dataset, files: Path, owner: Principal) -> Path:
    """A good model with a link to nowhere and what macOS left beside it."""
    (files / "svm" / "config.pbtxt").write_text(CONFIG)
    (files / "svm" / "notes.txt").symlink_to("gone.txt")
    (files / "svm" / "1" / "._model.py").write_bytes(b"\0\5\x16\7")
    trust.trust(dataset, actor=owner, later_changes=True)
    return files / "svm"


def test_the_log_of_a_round_names_it_and_the_copy_does_not_have_it(worker: Worker, model: Path) -> None:
    job = worker.preheat()
    tree = wiring.tree_of(fresh(job))
    assert tree is not None
    assert sorted(path.name for path in tree.path.rglob("*")) == ["1", "config.pbtxt", "model.py", "weights.bin"]
    lines = [line.text for line in RoundLine.objects.filter(round=job)]
    assert f"Left out: 1/._model.py (made by macOS), notes.txt ({DANGLING})." in lines


def test_the_page_and_the_api_show_each_name_with_what_it_is(
    dataset: Dataset, model: Path, mine: Api, alice: User, client_of: Callable[[User | None], Client]
) -> None:
    entries = mine.get("datasets/models/files/", path="svm").data["entries"]
    assert {entry["name"]: entry["left_out"] for entry in entries} == {
        "1": "",
        "config.pbtxt": "",
        "notes.txt": DANGLING,
    }
    browser = client_of(alice)
    for address in (
        reverse("dataset", args=["models"]) + "?path=svm",
        reverse("service-browse") + "?dataset=models&path=svm",
    ):
        page = browser.get(address).content.decode()
        assert re.search(rf'notes\.txt(</span>)? <span class="soft small">{DANGLING}</span>', page)


def test_the_report_notes_it(dataset: Dataset, model: Path) -> None:
    report = reports.read(dataset, "svm").report
    assert report is not None and report.problems == ()
    assert report.notes == (f"Left out: 1/._model.py (made by macOS), notes.txt ({DANGLING}).",)


def test_a_service_can_be_made_of_the_model_beside_it(dataset: Dataset, model: Path) -> None:
    description = checks.describe(dataset, "svm", "triton", {})
    assert description is not None and description.problems == ()
    assert description.notes == (f"Left out: 1/._model.py (made by macOS), notes.txt ({DANGLING}).",)


def test_a_model_that_needs_it_is_refused_with_both_sentences(dataset: Dataset, model: Path) -> None:
    (model / "1" / "model.py").unlink()
    (model / "1" / "model.py").symlink_to("../../blobs/abc")
    description = checks.describe(dataset, "svm", "triton", {})
    assert description is not None
    assert description.problems[0].startswith("1/model.py is missing")
    assert "1/model.py (a link to ../../blobs/abc, which does not exist)" in description.problems[1]


def test_a_sentence_about_many_names_some_of_them() -> None:
    many = [LeftOut(f"._{number}", "made by macOS") for number in range(9)] + [LeftOut("a\nb", "a pipe")]
    assert left_out_text(many) == r"Left out: ._0, ._1, ._2 and 6 more (made by macOS), a\nb (a pipe)."
    assert left_out_text(LeftOut(str(number), f"reason {number}") for number in range(12)).endswith(
        "9 (reason 9), and more, for 2 other reasons."
    )
    assert left_out_text(()) == ""
