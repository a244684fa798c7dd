"""A home of its own for each test, a folder of model files, and the dataset that points to it."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from console.accounts.principal import Principal, for_user
from console.home import Home
from console.models import Team
from datasets import wiring
from datasets.actions import datasets
from datasets.models import Dataset, Round
from datasets.preheat.store.trees import Store
from datasets.signals import round_finished, trees_used, trees_wanted
from datasets.sources import registry
from datasets.sources.base import Site
from datasets.sources.local.source import LocalSource
from tests.datasets import guarded
from tests.datasets.looking import OLD, Prepare
from tests.datasets.worker import Worker
from tests.rest import Api


@pytest.fixture
def home(tmp_path: Path, settings: Settings) -> Home:
    """A console home and an allowed root under tmp_path."""
    new_home = dataclasses.replace(settings.HOME, root=tmp_path / "home")
    settings.HOME = new_home
    settings.DATASET_ROOTS = [tmp_path / "allowed"]
    return new_home


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The directory of a dataset: a Triton model in a folder `svm`, and a note."""
    root = tmp_path / "allowed" / "models"
    (root / "svm" / "1").mkdir(parents=True)
    (root / "svm" / "config.pbtxt").write_text('name: "svm"\nbackend: "python"\n')
    (root / "svm" / "1" / "model.py").write_text("print('hello')\n")
    (root / "svm" / "1" / "weights.bin").write_bytes(bytes(range(256)) * 1000)
    (root / "README.txt").write_text("models\n")
    return root


@pytest.fixture
def source(files: Path, tmp_path: Path) -> LocalSource:
    return LocalSource({"path": str(files)}, Site(roots=(tmp_path / "allowed",)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    new_store = Store(tmp_path / "home" / "store")
    new_store.make()
    return new_store


@pytest.fixture
def owner(alice: User) -> Principal:
    return for_user(alice)


@pytest.fixture
def people(alice: User, bob: User, charlie: User) -> dict[str, Api]:
    return {"nobody": Api(), "stranger": Api(charlie), "teammate": Api(bob), "owner": Api(alice)}


@pytest.fixture
def mine(alice: User) -> Api:
    return Api(alice)


@pytest.fixture
def dataset(home: Home, files: Path, team: Team, owner: Principal) -> Dataset:
    return datasets.create(team=team, name="models", kind="local", options={"path": str(files)}, actor=owner)


@pytest.fixture
def guarded_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind `guarded`, which has secret options and choices."""
    monkeypatch.setitem(registry.SOURCES, "guarded", f"{guarded.__name__}.GuardedSource")
    yield


@pytest.fixture
def guarded_dataset(guarded_kind: None, home: Home, files: Path, team: Team, owner: Principal) -> Dataset:
    guarded.guard(files)
    return datasets.create(
        team=team,
        name="guarded",
        kind="guarded",
        options={"place": str(files)},
        credentials={"word": guarded.WORD},
        actor=owner,
    )


@pytest.fixture
def worker(
    dataset: Dataset,
    owner: Principal,
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[list[object]]],
) -> Worker:
    return Worker(dataset, owner, partial(django_capture_on_commit_callbacks, execute=True))


@pytest.fixture
def finished() -> Iterator[list[tuple[int, str]]]:
    """Rounds that were announced as finished."""
    seen: list[tuple[int, str]] = []

    def receive(sender: type[Round], round: Round, **_: Any) -> None:
        seen.append((round.pk, round.state))

    round_finished.connect(receive)
    yield seen
    round_finished.disconnect(receive)


@pytest.fixture
def prepare(worker: Worker) -> Prepare:
    """Digest of a copy that was last asked for some time ago."""

    def make(path: str, age: float = OLD, of: Dataset | None = None) -> str:
        digest = (Worker(of) if of else worker).preheat(path).tree
        then = time.time() - age
        os.utime(wiring.store().root / "trees" / digest, (then, then))
        return str(digest)

    return make


@pytest.fixture
def needed() -> Iterator[dict[str, set[str]]]:
    """Digest -> who needs it; fill it in."""
    by: dict[str, set[str]] = {}

    def needed_trees(sender: object, **_: object) -> set[str]:
        return set(by)

    def used(sender: object, **_: object) -> dict[str, set[str]]:
        return by

    trees_wanted.connect(needed_trees)
    trees_used.connect(used)
    yield by
    trees_wanted.disconnect(needed_trees)
    trees_used.disconnect(used)
