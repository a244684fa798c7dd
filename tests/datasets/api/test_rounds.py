"""Rounds over REST: their files and log, their verbs and modes, and who may ask for what."""

from __future__ import annotations

import pytest

from console.accounts.principal import Principal
from datasets import states
from datasets.actions.rounds import request_round
from datasets.jobs import leases
from datasets.models import Dataset, Round
from datasets.preheat.store.trees import Store
from tests.datasets.looking import fresh
from tests.datasets.queries.test_round_files import under_way
from tests.datasets.worker import Worker
from tests.rest import REFUSED, SEEN, Api, who_may


@pytest.fixture
def job(dataset: Dataset, owner: Principal) -> Round:
    return request_round(dataset, "svm", actor=owner)


def where(job: Round, part: str = "") -> str:
    return f"datasets/models/rounds/{job.pk}/{part}"


def test_the_files_of_a_round_come_in_pages_and_by_state(mine: Api, job: Round, store: Store) -> None:
    assert mine.get(where(job, "files/")).data["results"] == []
    under_way(job, store, count=5)
    first = mine.get(where(job, "files/"), page_size=2).data
    assert first["count"] == 5 and [row["path"] for row in first["results"]] == ["00001.bin", "00000.bin"]
    moving, complete = first["results"]
    assert (moving["state"], moving["percent"], moving["bytes_done"]) == ("moving", 25, 1 << 20)
    assert moving["seconds_left"] >= 0 and moving["bytes_per_second"] > 0
    assert (complete["state"], complete["percent"], complete["sha256"], complete["seconds_left"]) == (
        "there",
        100,
        "a" * 64,
        None,
    )
    waiting = mine.get(where(job, "files/"), state="waiting").data
    assert waiting["count"] == 3 and {row["state"] for row in waiting["results"]} == {"waiting"}
    assert set(mine.get(where(job, "files/"), state="lost").errors) == {"state"}


def test_the_files_of_a_finished_round_are_those_of_its_tree(worker: Worker, mine: Api, job: Round) -> None:
    worker.run(job)
    rows = mine.get(where(job, "files/"), state="there").data["results"]
    assert {row["path"]: row["size"] for row in rows}["1/weights.bin"] == 256_000
    assert all(len(row["sha256"]) == 64 for row in rows)


def test_the_log_of_a_round_is_read_in_order(worker: Worker, mine: Api, job: Round) -> None:
    worker.run(job)
    lines = [line["text"] for line in mine.get(where(job, "log/")).data["results"]]
    assert lines[0] == "Requested by alice." and lines[-2].startswith("Done: 3 files")
    assert mine.get(where(job, "log/"), page_size=1, page=2).data["results"][0]["text"] == lines[1]


@pytest.mark.parametrize("part", ["", "files/", "log/"])
def test_who_may_look_at_a_round(part: str, people: dict[str, Api], job: Round) -> None:
    assert who_may(people, lambda api: api.get(where(job, part))) == SEEN


@pytest.mark.parametrize(
    ("verb", "before"),
    [("pause", states.PENDING), ("resume", states.PAUSED), ("cancel", states.PENDING), ("retry", states.FAILED)],
)
def test_who_may_ask_something_of_a_round(verb: str, before: str, people: dict[str, Api], job: Round) -> None:
    Round.objects.update(state=before)
    assert who_may(people, lambda api: api.post(where(job, f"{verb}/"))) == {**REFUSED, "owner": 202}


def test_a_round_is_paused_resumed_and_tried_again(mine: Api, job: Round) -> None:
    paused = mine.post(where(job, "pause/")).data
    assert (paused["state"], paused["pause_requested"], paused["finished"]) == ("PAUSED", False, False)
    assert mine.post(where(job, "resume/")).data["state"] == "PENDING"
    assert mine.post(where(job, "resume/")).status == 409
    assert mine.post(where(job, "retry/")).status == 409
    mine.post(where(job, "cancel/"))
    again = mine.post(where(job, "retry/"))
    assert again.data["id"] != job.pk and again.data["state"] == "PENDING"
    assert again.headers["Location"].endswith(f"/datasets/models/rounds/{again.data['id']}/")
    assert mine.post(where(job, "pause/")).status == 409


def test_a_worker_that_is_asked_to_pause_is_shown_as_such(mine: Api, job: Round) -> None:
    assert leases.claim(job.pk)
    answer = mine.post(where(job, "pause/")).data
    assert answer["pause_requested"] and answer["sentence"] == "Being paused."


def test_the_mode_is_chosen_and_shown(mine: Api, dataset: Dataset) -> None:
    response = mine.post("datasets/models/preheat/", {"path": "svm", "mode": "keep"})
    assert response.status == 202 and response.data["mode"] == "keep"
    assert mine.post("datasets/models/preheat/", {"path": ""}).data["mode"] == "mirror"
    assert set(mine.post("datasets/models/preheat/", {"mode": "sync"}).errors) == {"mode"}
    assert Round.objects.count() == 2


def test_a_round_of_another_dataset_is_not_found_here(mine: Api, job: Round, files: object) -> None:
    assert mine.post("datasets/", {"name": "other", "kind": "local", "options": {"path": str(files)}}).status == 201
    for part in ("", "files/", "log/"):
        assert mine.get(f"datasets/other/rounds/{job.pk}/{part}").status == 404
    for verb in ("pause", "resume", "retry", "cancel"):
        assert mine.post(f"datasets/other/rounds/{job.pk}/{verb}/").status == 404
    assert fresh(job).state == states.PENDING
