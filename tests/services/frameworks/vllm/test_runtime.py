"""The vLLM environment: what is said of it from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.frameworks.vllm import runtime
from tests.services.frameworks.vllm.test_launch import installed


def test_nothing_there_says_what_to_run(tmp_path: Path) -> None:
    assert "make runtime-vllm" in runtime.problem(tmp_path)
    assert runtime.kind(tmp_path) == ""
    with pytest.raises(runtime.RuntimeProblem, match="holds no vLLM"):
        runtime.prepare(tmp_path)


def test_the_build_is_told_from_the_package(tmp_path: Path) -> None:
    assert runtime.kind(installed(tmp_path / "a")) == runtime.CPU
    assert runtime.kind(installed(tmp_path / "b", "vllm")) == runtime.GPU
    assert runtime.problem(tmp_path / "a") == ""


def test_one_that_was_not_prepared_is_not_complete(tmp_path: Path) -> None:
    (installed(tmp_path) / runtime.STAMP).unlink()
    assert "not complete" in runtime.problem(tmp_path)
