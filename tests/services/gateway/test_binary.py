"""Where Envoy is and how it is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from services.gateway.binary import argv, find_envoy


def test_the_binary_of_the_wheel_is_found_and_runs() -> None:
    done = subprocess.run([find_envoy(), "--version"], capture_output=True, text=True, timeout=20, check=True)
    assert "1.40" in done.stdout


@pytest.mark.parametrize(("cores", "workers"), [(1, "1"), (2, "1"), (8, "4"), (64, "4"), (None, "1")])
def test_half_of_the_cores_are_left_to_the_models(
    cores: int | None, workers: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    command = argv(tmp_path, Path("/envoy"))
    assert command[command.index("--concurrency") + 1] == workers


def test_the_command_line_names_the_bootstrap_of_the_directory(tmp_path: Path) -> None:
    command = argv(tmp_path, Path("/envoy"), concurrency=3)
    assert command[:3] == ["/envoy", "-c", str(tmp_path / "bootstrap.json")]
    assert command[command.index("--concurrency") + 1] == "3"
    assert "--disable-hot-restart" in command
