"""tiny-llama: where it is kept, and how it comes into the sample dataset. That it answers: tests/integration."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from datasets.samples.llama import make
from services.frameworks.vllm.describe import describe
from tests.servers import vllm


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """With a model that was trained, as far as files tell."""
    root = tmp_path / "runtime"
    folder = make.trained(root)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / make.STAMP).write_text(make.fingerprint(root) + "\n")
    return root


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    out = tmp_path / "home" / "samples"
    out.mkdir(parents=True)
    (out / make.STAMP).write_text("of the other samples")
    return out


def test_what_is_trained_is_put_into_the_dataset_once(runtime: Path, samples: Path) -> None:
    assert make.publish(runtime, samples)
    assert (samples / make.NAME / "config.json").is_file()
    assert stat.S_IMODE((samples / make.NAME).stat().st_mode) & 0o055 == 0o055
    assert not make.publish(runtime, samples)
    assert [path.name for path in samples.parent.iterdir()] == ["samples"], "nothing half-made stays beside it"


def test_its_files_are_for_the_owner_only_where_the_umask_says_so(runtime: Path, samples: Path) -> None:
    for path in make.trained(runtime).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = os.umask(0o077)
    try:
        assert make.publish(runtime, samples)
    finally:
        os.umask(before)
    files = [path for path in (samples / make.NAME).rglob("*") if path.is_file()]
    assert files and {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_newer_one_replaces_an_older_one_as_a_whole(runtime: Path, samples: Path) -> None:
    (samples / make.NAME).mkdir()
    (samples / make.NAME / "old.json").touch()
    assert make.publish(runtime, samples)
    assert not (samples / make.NAME / "old.json").exists()
    assert [path.name for path in samples.parent.iterdir()] == ["samples"]


def test_without_a_dataset_or_a_model_nothing_is_done(runtime: Path, samples: Path, tmp_path: Path) -> None:
    assert not make.publish(tmp_path / "no-runtime", samples)
    (samples / make.STAMP).unlink()
    assert not make.publish(runtime, samples)
    assert list(samples.iterdir()) == []


def test_one_that_is_trained_is_not_trained_again(runtime: Path, tmp_path: Path) -> None:
    assert not make.train(runtime)  # there is no Python in it that could


def test_a_training_that_fails_says_so_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = tmp_path / "runtime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho no torch here >&2\nexit 1\n")
    python.chmod(0o755)
    assert make.main([str(tmp_path / "runtime")]) == 1
    assert "tiny-llama could not be trained: no torch here" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "runtime" / "samples").iterdir()] == [".lock"]


@pytest.mark.integration
@pytest.mark.timeout(1200)
def test_the_trained_model_is_one_without_problems() -> None:
    description = describe(vllm.sample_model(), {"lora_modules": [{"name": "pirate", "path": "adapters/pirate"}]})
    assert not description.problems and not description.notes
    assert (description.task, description.max_model_len) == ("chat", 2048)
    assert all(path.stat().st_mode & 0o044 for path in vllm.sample_model().rglob("*") if path.is_file())
