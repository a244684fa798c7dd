"""Real environments, without packages from anywhere: the requirements files here name nothing, or what is not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from console.install import bootstrap

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "console.txt"
    path.write_text("# nothing\n")
    return path


def test_an_environment_is_made_once_and_again_when_the_file_changes(
    tmp_path: Path, requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "environment"
    assert bootstrap.main([str(target), str(requirements)]) == 0
    assert "environment is ready" in capsys.readouterr().out
    assert bootstrap.main([str(target), str(requirements)]) == 0
    assert capsys.readouterr().out == ""

    # What pip says is shown when it fails, and the next call tries again.
    requirements.write_text("no-such-package-of-ours==1.0\n")
    assert bootstrap.main([str(target), str(requirements)]) == 1
    assert "No matching distribution found for no-such-package-of-ours==1.0" in capsys.readouterr().err

    # A script of ours that fails counts as a failure too.
    requirements.write_text("# nothing\n")
    script = tmp_path / "then.py"
    script.write_text("import sys; sys.exit('no server for ' + sys.argv[1])")
    assert bootstrap.main([str(target), str(requirements), "--then", str(script)]) == 1
    assert f"no server for {target}" in capsys.readouterr().err
    script.write_text("import pathlib, sys; pathlib.Path(sys.argv[1], 'made').touch()")
    assert bootstrap.main([str(target), str(requirements), "--then", str(script)]) == 0
    assert (target / "made").exists()

    # Somebody's half-made environment is made anew.
    (target / "bin" / "python").unlink()
    assert bootstrap.main([str(target), str(requirements), "--then", str(script)]) == 0
    assert bootstrap.runs(target)


def test_a_script_runs_again_when_a_file_that_it_copies_changes(tmp_path: Path, requirements: Path) -> None:
    source, script, target = tmp_path / "backends" / "onnx" / "model.py", tmp_path / "then.py", tmp_path / "environment"
    source.parent.mkdir(parents=True)
    script.write_text(f"import shutil, sys; shutil.copy({str(source)!r}, sys.argv[1])")
    command = [str(target), str(requirements), "--then", str(script), "--copied", str(tmp_path / "backends")]
    for text in ("one", "two"):
        source.write_text(text)
        assert bootstrap.main(command) == 0
        assert (target / "model.py").read_text() == text


def test_installing_more_leaves_the_smaller_set_satisfied(tmp_path: Path) -> None:
    smaller, larger = tmp_path / "console.txt", tmp_path / "dev.txt"
    smaller.write_text("# a part\n")
    larger.write_text("# all\n")
    target = tmp_path / "environment"
    assert bootstrap.main([str(target), str(larger), "--also", str(smaller)]) == 0
    before = (target / ".stamp-console").stat().st_mtime_ns
    assert bootstrap.main([str(target), str(smaller)]) == 0
    assert (target / ".stamp-console").stat().st_mtime_ns == before


def test_another_place_or_python_needs_another_environment(tmp_path: Path, requirements: Path) -> None:
    one = bootstrap.stamp(tmp_path / "one", [requirements])
    assert one != bootstrap.stamp(tmp_path / "two", [requirements])
    assert bootstrap.same_python(Path(sys.prefix))
