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
from datasets.actions.rounds import request_round
from datasets.errors import NotLookedInto
from datasets.models import Dataset, Round
from datasets.preheat.copying import streams
from datasets.queries import browsing
from datasets.queries.peek import peek
from tests.datasets.looking import fresh
from tests.datasets.sources.archives.making import NAMES, tarred
from tests.datasets.sources.http.test_source import FILES, full_list
from tests.datasets.sources.wire import Wire, holding, serving

pytestmark = pytest.mark.django_db
Run = Callable[[int], None]
Make = Callable[..., Dataset]


@pytest.fixture
def make(home: Home, team: Team, owner: Principal, settings: Settings) -> Make:
    def create_dataset(wire: Wire, url: str, **options: str) -> Dataset:
        settings.DATASET_ENDPOINTS = [wire.endpoint]
        return datasets.create(
            team=team,
            name="web",
            kind="http",
            options={"url": wire.url(url), **options},
            actor=owner,
        )

    return create_dataset


def tree(job: Round) -> dict[str, bytes]:
    published_tree = wiring.tree_of(fresh(job))
    assert published_tree is not None, fresh(job).message
    return {
        str(path.relative_to(published_tree.path)): path.read_bytes()
        for path in Path(published_tree.path).rglob("*")
        if path.is_file()
    }


def test_a_list_becomes_a_tree(make: Make, owner: Principal, run_now: Run) -> None:
    with serving(holding(FILES)) as wire:
        job = request_round(make(wire, "/m", list=full_list()), "svm", actor=owner)
        run_now(job.pk)
    assert tree(job) == {
        name.removeprefix("/m/svm/"): body for name, body in FILES.items() if name.startswith("/m/svm/")
    }


def test_an_archive_becomes_a_tree_and_its_spool_lies_in_the_home(
    make: Make,
    owner: Principal,
    run_now: Run,
    home: Home,
) -> None:
    with serving(holding({"/m.tar.gz": gzip.compress(tarred())})) as wire:
        job = request_round(make(wire, "/m.tar.gz"), "svm", actor=owner)
        run_now(job.pk)
    assert tree(job) == {name.removeprefix("svm/"): body for name, body in NAMES.items() if name.startswith("svm/")}
    assert any(not path.suffix for path in home.spool.iterdir())


def test_a_packed_archive_too_large_to_look_into_is_copied_all_the_same(
    make: Make,
    owner: Principal,
    run_now: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.sources.http.archive.LOOK_LIMIT", 1000)
    with serving(holding({"/m.tar.gz": gzip.compress(tarred())})) as wire:
        dataset = make(wire, "/m.tar.gz")
        with pytest.raises(NotLookedInto):
            browsing.browse(dataset)
        with peek(dataset, "svm") as preview:
            assert preview.folder is None
        assert not any(request.startswith("GET") and "Range:" not in request for request in wire.requests)
        job = request_round(dataset, "svm", actor=owner)
        run_now(job.pk)
        assert tree(job)["config.pbtxt"] == NAMES["svm/config.pbtxt"]
        with peek(dataset, "svm") as preview:  # what lies unpacked on this node costs nothing to look at
            assert preview.folder is not None
            assert (preview.folder / "config.pbtxt").read_bytes() == NAMES["svm/config.pbtxt"]


def test_bytes_that_are_not_what_the_list_says_are_not_published(
    make: Make,
    owner: Principal,
    run_now: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "PAUSES", ())
    wrong = hashlib.sha256(b"something else").hexdigest()
    with serving(holding({"/m/f": b"hello"})) as wire:
        job = request_round(make(wire, "/m", list=f"f 5 {wrong}"), "", actor=owner)
        run_now(job.pk)
    assert wiring.tree_of(fresh(job)) is None
    assert "f arrived damaged" in fresh(job).message


def test_a_server_that_is_away_is_waited_for(make: Make, owner: Principal, run_now: Run) -> None:
    with serving(holding({"/f": b"hello"})) as wire:
        dataset = make(wire, "/f")
    job = request_round(dataset, "", actor=owner)
    run_now(job.pk)
    assert fresh(job).state not in states.TERMINAL
    assert "connection refused" in fresh(job).message


def test_a_dataset_of_a_server_that_is_not_listed_cannot_be_made(make: Make) -> None:
    with serving(holding({"/f": b"hello"})) as wire, pytest.raises(InvalidFields) as caught:
        make(wire, "/f", list="http://other.example/list")
    assert "DATASET_ENDPOINTS" in str(caught.value)
