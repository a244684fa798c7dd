"""The generated sample dataset."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from services.frameworks.triton.describe import describe
from tests.servers.triton import make_samples, runtime_root

pytestmark = pytest.mark.integration


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_each_sample_is_a_model_without_problems_and_the_readme_names_it(samples: Path) -> None:
    models = sorted(path.name for path in samples.iterdir() if path.is_dir())
    assert models == ["echo", "mnist-onnx", "mnist-svm", "repeat"]
    readme = (samples / "README.txt").read_text()
    for name in models:
        assert not describe(samples / name, {}).problems
        assert f"\n{name} " in readme
    assert describe(samples / "repeat", {}).decoupled


def test_generating_again_touches_nothing(samples: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in samples.rglob("*")}
    make_samples(runtime_root(), samples)
    assert {path: path.stat().st_mtime_ns for path in samples.rglob("*")} == before


def test_an_outdated_dataset_is_replaced_as_a_whole_by_the_same_files(samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    (out / "removed-model").mkdir(parents=True)
    (out / ".generated").write_text("of an older release")
    make_samples(runtime_root(), out)
    assert contents(out) == contents(samples), "the same sources give the same files"
    assert not (out / "removed-model").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["samples"], "nothing half-made stays beside it"


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(subprocess.CalledProcessError):
        make_samples(runtime_root(), tmp_path / "file" / "samples")
