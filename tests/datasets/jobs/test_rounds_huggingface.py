"""A repository of the Hub from a dataset to a published, verified tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from console.accounts.principal import Principal
from console.home import Home
from console.models import Team
from datasets import states, wiring
from datasets.actions import datasets
from tests.datasets.worker import Worker
from tests.servers.hub import Hub, hub

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    with hub(tmp_path / "hub") as hub_server:
        yield hub_server


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "original").mkdir(parents=True)
    (root / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}\n')
    (root / "model.safetensors").write_bytes(os.urandom(5_000_000))
    (root / "original" / "consolidated.bin").write_bytes(os.urandom(2_000_000))
    return root


@pytest.fixture
def worker(server: Hub, model: Path, home: Home, settings: Settings, team: Team, owner: Principal) -> Worker:
    settings.DATASET_ENDPOINTS = list(server.endpoints)
    server.push("org/model", model)
    options = {"repository": "org/model", "endpoint": server.url, "exclude": "original/*"}
    return Worker(datasets.create(team=team, name="hub", kind="huggingface", options=options, actor=owner))


def test_a_round_publishes_what_the_patterns_choose(worker: Worker, model: Path) -> None:
    done = worker.preheat("")
    assert (done.state, done.files_total) == (states.DONE, 2), done.message
    tree = wiring.tree_of(done)
    assert tree is not None
    for name in ("config.json", "model.safetensors"):
        assert (tree.path / name).read_bytes() == (model / name).read_bytes()
    assert not (tree.path / "original").exists()


def test_a_branch_that_moved_is_a_new_tree_and_the_same_one_is_not_copied_again(
    worker: Worker, server: Hub, model: Path
) -> None:
    first = worker.preheat("")
    server.forget_requests()
    again = worker.preheat("")
    assert again.tree == first.tree
    assert server.requests("cdn") == []
    (model / "config.json").write_text("{}\n")
    server.push("org/model", model)
    moved = worker.preheat("")
    tree = wiring.tree_of(moved)
    assert tree is not None
    assert tree.digest != first.tree
    assert (tree.path / "config.json").read_text() == "{}\n"


def test_a_gated_repository_fails_its_round_with_what_to_do(worker: Worker, server: Hub) -> None:
    job = worker.request("")
    server.change("org/model", gated=True)
    done = worker.run(job)
    assert done.state == states.FAILED
    assert "org/model is gated" in done.message
    assert "Ask for access" in done.message
