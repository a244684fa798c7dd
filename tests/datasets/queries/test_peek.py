"""A look at model files before anything is preheated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from console.accounts.principal import for_user
from console.models import Team
from datasets.actions import datasets
from datasets.models import Dataset
from datasets.queries.peek import HEADER, MOST_FILES, SMALL, peek


@pytest.fixture
def folder(dataset_root: Path, tmp_path: Path) -> Path:
    new_folder = dataset_root / tmp_path.name
    new_folder.mkdir()
    return new_folder


@pytest.fixture
def dataset(team: Team, alice: User, folder: Path) -> Dataset:
    return datasets.create(team=team, name="llm", kind="local", options={"path": str(folder)}, actor=for_user(alice))


def test_small_files_are_whole_and_large_ones_holes(dataset: Dataset, folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    (folder / "weights.bin").write_bytes(b"x" * (SMALL + 1))
    with peek(dataset, "") as seen:
        assert seen.folder is not None
        assert (seen.folder / "config.json").read_text() == "{}"
        assert (seen.folder / "weights.bin").read_bytes() == b"\0" * (SMALL + 1)


def test_of_safetensors_the_header_is_there(dataset: Dataset, folder: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    content = len(header).to_bytes(8, "little") + header + b"x" * SMALL
    (folder / "model.safetensors").write_bytes(content)
    with peek(dataset, "") as seen:
        assert seen.folder is not None
        copy = (seen.folder / "model.safetensors").read_bytes()
    assert len(copy) == len(content) and copy.rstrip(b"\0") == content[: 8 + len(header)]


@pytest.mark.parametrize("size", [HEADER + 1, (1 << 64) - 1])
def test_a_header_that_cannot_be_true_is_not_read(size: int, dataset: Dataset, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(size.to_bytes(8, "little") + b"x" * SMALL)
    with peek(dataset, "") as seen:
        assert seen.folder is not None and not (seen.folder / "model.safetensors").read_bytes().strip(b"\0")


def test_empty_folders_are_there(dataset: Dataset, folder: Path) -> None:
    """The version folder of an ensemble is one."""
    (folder / "flow" / "1").mkdir(parents=True)
    (folder / "flow" / "config.pbtxt").write_text('platform: "ensemble"')
    with peek(dataset, "flow") as seen:
        assert seen.folder is not None and (seen.folder / "1").is_dir()


def test_a_folder_of_very_many_empty_folders_is_too_much_to_look_at(dataset: Dataset, folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    for number in range(MOST_FILES):
        (folder / str(number)).mkdir()
    with peek(dataset, "") as seen:
        assert seen.folder is None
