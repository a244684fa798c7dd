"""The first start in a home that cannot be written: a sentence, and all is well once it can."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.home import CHECKOUT
from tests.integration.small_disk import MIB, SmallDisk, run_in_a_namespace, small_disk

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("full-disk")]


def manage(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in {"SECRET_KEY", "CONSOLE_HOME"}}
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "manage.py"), *arguments],
        env={**inherited, "CONSOLE_HOME": str(home), **env},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(4 * MIB) as disk:
        yield disk


def test_on_a_full_disk_it_is_said_and_nothing_is_half_made(disk: SmallDisk) -> None:
    home = disk.folder / "a" / "home"
    disk.fill()
    done = manage(home, "run", "--exit-when-ready")
    assert (done.returncode, done.stdout) == (1, "")
    reason = f"The key that signs sessions cannot be kept in {home}/secret_key: No space left on device."
    assert done.stderr == f"error: {reason} Put that right and start again, or choose another CONSOLE_HOME.\n"
    assert [path for path in home.rglob("*") if path.is_file()] == []
    disk.empty()
    assert manage(home, "check").returncode == 0
    assert len((home / "secret_key").read_text()) > 40


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = manage(tmp_path / "file" / "home", "run")
    assert done.returncode == 1 and done.stderr.startswith("error: The key that signs sessions cannot be kept in")
    assert done.stderr.endswith("choose another CONSOLE_HOME.\n") and "Not a directory" in done.stderr


def test_a_wrong_setting_is_said_without_a_traceback(tmp_path: Path) -> None:
    done = manage(tmp_path / "home", "run", CONSOLE_PORT="x")
    sentence = "error: CONSOLE_PORT must be a whole number from 1 to 65535, not 'x'. For example CONSOLE_PORT=8000.\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_an_endpoint_that_cannot_be_stops_the_start_and_is_named(tmp_path: Path) -> None:
    done = manage(tmp_path / "home", "run", DATASET_ENDPOINTS="*.hf.co,https://models.example.com/v1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "error: DATASET_ENDPOINTS has the entry 'https://models.example.com/v1', which cannot be: an entry has "
    )
    assert "Traceback" not in done.stderr and not (tmp_path / "home" / "run").exists()


def test_a_variable_that_only_looks_like_a_setting_is_named_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # the start ends there, with nothing started yet
        port = str(taken.getsockname()[1])
        done = manage(tmp_path / "home", "run", DATASET_ENDPOINT="models.example.com", GATEWAY_PORT=port)
    assert done.returncode == 1
    assert "Warning: The environment variable DATASET_ENDPOINT is not a setting of the console." in done.stdout
    assert "Did you mean DATASET_ENDPOINTS?" in done.stdout


def test_the_same_in_a_namespace_where_nothing_may_be_mounted_outside() -> None:
    run_in_a_namespace(__file__)
