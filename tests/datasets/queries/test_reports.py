"""What the files at a path of a dataset say, on its page and in the API: of the copy when there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from datasets.errors import SourceError
from datasets.models import Dataset
from datasets.queries import reports
from datasets.queries.peek import GRAPH
from tests.datasets.worker import Worker
from tests.services.frameworks.triton.onnx_files import write_digits

ClientOf = Callable[[User | None], Client]


def test_before_anything_is_prepared_the_source_is_read(dataset: Dataset, files: Path) -> None:
    seen = reports.read(dataset, "svm")
    assert seen.copied_at is None and seen.report is not None
    assert seen.report.kind == "triton_model" and seen.report.runs_code[0].path == "1/model.py"
    with pytest.raises(SourceError):
        reports.read(dataset, "gone")


def test_afterwards_the_copy_is_read_even_when_the_source_is_gone(
    worker: Worker, dataset: Dataset, files: Path
) -> None:
    worker.preheat()
    (files / "svm" / "config.pbtxt").unlink()
    for _ in range(2):
        seen = reports.read(dataset, "svm/")
        assert seen.copied_at is not None and seen.report is not None
        assert dict(seen.report.facts)["Backend"] == "python"


def test_what_is_too_large_to_be_read_where_it_lies_is_said_to_be_so(
    dataset: Dataset, files: Path, alice: User, client_of: ClientOf
) -> None:
    with (files / "svm" / "1" / "model.onnx").open("wb") as file:
        file.truncate(GRAPH + 1)
    assert reports.read(dataset, "svm").report is None
    page = client_of(alice).get(reverse("dataset-files", args=[dataset.name]) + "?path=svm").content.decode()
    assert "too large to inspect at the source" in page


def test_the_page_asks_for_the_card_and_the_card_says_it(
    dataset: Dataset, files: Path, alice: User, client_of: ClientOf
) -> None:
    write_digits(files / "digits" / "1" / "model.onnx")
    (files / "digits" / "config.pbtxt").write_text(
        'backend: "onnxruntime" input { name: "pixels" data_type: TYPE_FP32 dims: 3 }'
    )
    browser, where = client_of(alice), reverse("dataset-files", args=[dataset.name])
    page = browser.get(reverse("dataset", args=[dataset.name]) + "?path=digits").content.decode()
    assert f'hx-get="{where}?path=digits"' in page
    card = browser.get(f"{where}?path=digits", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in card and "contradicts" in card and "write dims: [-1, 64]" in card
    assert "dims: [-1, 64]" in card.split("A complete config.pbtxt")[1]
    whole = browser.get(f"{where}?path=svm").content.decode()
    assert "<html" in whole and "1/model.py" in whole and "Runs as code" in whole
    assert "A path inside a dataset" in browser.get(f"{where}?path=../x").content.decode()


def test_a_repository_shows_each_of_its_models(dataset: Dataset, alice: User, client_of: ClientOf) -> None:
    page = client_of(alice).get(reverse("dataset-files", args=[dataset.name])).content.decode()
    assert "<summary><b>svm</b>" in page


def test_nobody_of_another_team_reads_it(dataset: Dataset, charlie: User, client_of: ClientOf) -> None:
    assert client_of(charlie).get(reverse("dataset-files", args=[dataset.name])).status_code == 404
    assert client_of(charlie).get(reverse("api-dataset-report", args=[dataset.name])).status_code == 404


def test_the_api_gives_all_of_it(dataset: Dataset, bob: User, client_of: ClientOf) -> None:
    data = client_of(bob).get(reverse("api-dataset-report", args=[dataset.name]) + "?path=svm").json()
    assert data["copied_at"] is None and data["report"]["executable"][0]["kind"] == "python"
    assert client_of(bob).get(reverse("api-dataset-report", args=[dataset.name]) + "?path=/etc").status_code == 400


def test_a_folder_that_is_no_model_is_read_only_when_asked(dataset: Dataset, alice: User, client_of: ClientOf) -> None:
    page = reverse("dataset", args=[dataset.name])
    assert 'hx-trigger="load"' in client_of(alice).get(page + "?path=svm").content.decode()
    whole = client_of(alice).get(page).content.decode()
    assert 'hx-trigger="load"' not in whole and "Model files" in whole
