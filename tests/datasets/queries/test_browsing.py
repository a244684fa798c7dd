"""What pages and the API are told about folders and rounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.home import Home
from datasets import states, wiring
from datasets.errors import SourceError
from datasets.models import Dataset, Round
from datasets.queries import browsing, progress

GIB = 1 << 30
MIB = 1 << 20


def round_with(**fields: Any) -> Round:
    return Round(**{"state": states.COPYING, "files_total": 3, "bytes_total": 4 * GIB} | fields)


@pytest.mark.django_db
def test_a_folder_is_browsed_with_what_it_is_and_the_way_to_it(dataset: Dataset) -> None:
    seen = browsing.browse(dataset, "svm/")
    assert [entry.name for entry in seen.entries] == ["1", "config.pbtxt"]
    assert (seen.path, seen.is_dir, seen.total, seen.next) == ("svm", True, 2, "")
    assert seen.recognised.kind == "triton_model"
    assert [(crumb.name, crumb.path) for crumb in seen.breadcrumbs] == [("models", ""), ("svm", "svm")]


@pytest.mark.django_db
def test_a_page_of_a_folder_still_says_what_the_whole_folder_is(dataset: Dataset) -> None:
    seen = browsing.browse(dataset, "svm", after="1", limit=1)
    assert [entry.name for entry in seen.entries] == ["config.pbtxt"]
    assert seen.recognised.kind == "triton_model"


@pytest.mark.django_db
def test_browsing_a_file_shows_the_file(dataset: Dataset) -> None:
    seen = browsing.browse(dataset, "svm/1/model.py")
    assert (seen.is_dir, [entry.path for entry in seen.entries]) == (False, ["svm/1/model.py"])
    assert [crumb.path for crumb in seen.breadcrumbs] == ["", "svm", "svm/1", "svm/1/model.py"]


@pytest.mark.django_db
def test_a_root_that_is_not_allowed_any_more_cannot_be_browsed(dataset: Dataset, settings: Any) -> None:
    settings.DATASET_ROOTS = []
    with pytest.raises(SourceError, match="not inside"):
        browsing.browse(dataset)


def test_the_samples_may_always_be_used(home: Home) -> None:
    assert home.samples in wiring.allowed_roots()


@pytest.mark.parametrize(
    ("state", "done", "percent"),
    [
        (states.PENDING, 0, 0),
        (states.COPYING, 0, 0),
        (states.COPYING, GIB, 25),
        (states.COPYING, 4 * GIB - 1, 99),
        (states.COPYING, 4 * GIB, 99),
        (states.VERIFYING, 4 * GIB, 99),
        (states.DONE, 4 * GIB, 100),
        (states.FAILED, 2 * GIB, 50),
    ],
)
def test_nothing_is_at_100_percent_before_it_is_done(state: str, done: int, percent: int) -> None:
    assert progress.progress(round_with(state=state, bytes_done=done))["percent"] == percent


def test_a_round_of_empty_files_is_at_0_then_100_percent() -> None:
    assert progress.progress(round_with(bytes_total=0))["percent"] == 0
    assert progress.progress(round_with(bytes_total=0, state=states.DONE))["percent"] == 100


def test_copying_is_told_with_speed_and_time_left() -> None:
    shown = progress.progress(round_with(bytes_done=int(1.2 * GIB), bytes_per_second=210.0 * MIB))
    assert shown["sentence"] == "1.2 GiB of 4.0 GiB, 210 MiB/s, 14 s left"
    assert (shown["seconds_left"], shown["finished"]) == (14, False)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"state": states.PENDING}, "Waiting for a worker."),
        ({"files_total": 0}, "Listing the files."),
        ({"bytes_done": GIB}, "1.0 GiB of 4.0 GiB"),
        ({"cancel_requested": True}, "Being cancelled."),
        ({"message": "Away. Attempt 1 of 5."}, "Away. Attempt 1 of 5."),
        ({"state": states.VERIFYING}, "All 4.0 GiB are copied and are being verified."),
        ({"state": states.FAILED, "message": "The disk is full."}, "The disk is full."),
        ({"state": states.CANCELLED, "cancel_requested": True, "message": "Cancelled by al."}, "Cancelled by al."),
        ({"state": states.DONE}, "3 files, 4.0 GiB: already on this node, nothing was copied."),
    ],
)
def test_every_state_has_its_sentence(fields: dict[str, Any], sentence: str) -> None:
    assert progress.progress(round_with(**fields))["sentence"] == sentence


def test_a_copy_that_is_done_says_how_long_it_took() -> None:
    started = timezone.now()
    done = round_with(
        state=states.DONE,
        files_total=1,
        bytes_total=MIB,
        bytes_copied=MIB,
        started_at=started,
        finished_at=started + timedelta(seconds=75),
    )
    assert progress.progress(done)["sentence"] == "1 file, 1.0 MiB: copied and verified in 1 min 15 s."


def test_a_speed_is_shown_only_while_bytes_move() -> None:
    shown = progress.progress(round_with(state=states.DONE, bytes_per_second=5.0))
    assert (shown["bytes_per_second"], shown["seconds_left"]) == (0.0, None)
