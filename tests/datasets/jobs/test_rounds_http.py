"""Rounds of datasets at a web server, from the request to the published tree."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from console.accounts.principal import Principal
from console.errors import InvalidFields
from console.home import Home
from console.models import Team
from datasets import states, wiring
from datasets.actions import datasets
from datasets.errors import NotLookedInto
from datasets.models import Round
from datasets.preheat.copying import streams
from datasets.queries import browsing
from datasets.queries.peek import peek
from tests.datasets.sources.archives.making import NAMES, tarred
from tests.datasets.sources.http.test_source import FILES, full_list
from tests.datasets.sources.wire import Wire, holding, serving
from tests.datasets.worker import Worker

pytestmark = pytest.mark.django_db
Make = Callable[..., Worker]


@pytest.fixture
def make(home: Home, team: Team, owner: Principal, settings: Settings) -> Make:
    def create_dataset(wire: Wire, url: str, **options: str) -> Worker:
        settings.DATASET_ENDPOINTS = [wire.endpoint]
        web = {"url": wire.url(url), **options}
        return Worker(datasets.create(team=team, name="web", kind="http", options=web, actor=owner))

    return create_dataset


def tree(job: Round) -> dict[str, bytes]:
    published_tree = wiring.tree_of(job)
    assert published_tree is not None, job.message
    return {
        str(path.relative_to(published_tree.path)): path.read_bytes()
        for path in Path(published_tree.path).rglob("*")
        if path.is_file()
    }


def test_a_list_becomes_a_tree(make: Make) -> None:
    with serving(holding(FILES)) as wire:
        job = make(wire, "/m", list=full_list()).preheat("svm")
    assert tree(job) == {
        name.removeprefix("/m/svm/"): body for name, body in FILES.items() if name.startswith("/m/svm/")
    }


def test_an_archive_becomes_a_tree_and_its_spool_lies_in_the_home(make: Make, home: Home) -> None:
    with serving(holding({"/m.tar.gz": gzip.compress(tarred())})) as wire:
        job = make(wire, "/m.tar.gz").preheat("svm")
    assert tree(job) == {name.removeprefix("svm/"): body for name, body in NAMES.items() if name.startswith("svm/")}
    assert any(not path.suffix for path in home.spool.iterdir())


def test_a_packed_archive_too_large_to_look_into_is_copied_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.sources.http.archive.LOOK_LIMIT", 1000)
    with serving(holding({"/m.tar.gz": gzip.compress(tarred())})) as wire:
        worker = make(wire, "/m.tar.gz")
        with pytest.raises(NotLookedInto):
            browsing.browse(worker.dataset)
        with peek(worker.dataset, "svm") as preview:
            assert preview.folder is None
        assert not any(request.startswith("GET") and "Range:" not in request for request in wire.requests)
        job = worker.preheat()
        assert tree(job)["config.pbtxt"] == NAMES["svm/config.pbtxt"]
        with peek(worker.dataset, "svm") as preview:  # what lies unpacked on this node costs nothing to look at
            assert preview.folder is not None
            assert (preview.folder / "config.pbtxt").read_bytes() == NAMES["svm/config.pbtxt"]


def test_bytes_that_are_not_what_the_list_says_are_not_published(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAUSES", ())
    wrong = hashlib.sha256(b"something else").hexdigest()
    with serving(holding({"/m/f": b"hello"})) as wire:
        job = make(wire, "/m", list=f"f 5 {wrong}").preheat("")
    assert wiring.tree_of(job) is None
    assert "f arrived damaged" in job.message


def test_a_server_that_is_away_is_waited_for(make: Make) -> None:
    with serving(holding({"/f": b"hello"})) as wire:
        worker = make(wire, "/f")
    job = worker.preheat("")
    assert job.state not in states.TERMINAL
    assert "connection refused" in job.message


def test_a_dataset_of_a_server_that_is_not_listed_cannot_be_made(make: Make) -> None:
    with serving(holding({"/f": b"hello"})) as wire, pytest.raises(InvalidFields) as caught:
        make(wire, "/f", list="http://other.example/list")
    assert "DATASET_ENDPOINTS" in str(caught.value)
