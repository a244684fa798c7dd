"""The gateway as a program of the stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.home import Home
from console.stack.gateway import program
from console.stack.programs import Doors
from services.gateway.binary import argv, find_envoy
from services.gateway.snapshot import Limits


@pytest.mark.parametrize("workers", [None, 3])
def test_it_has_as_many_workers_as_the_operator_says(tmp_path: Path, workers: int | None) -> None:
    home = Home(tmp_path / "h", tmp_path / "r")
    made = program(home, Doors("127.0.0.1", 1, 2), Limits(), workers=workers)
    assert made.argv == tuple(argv(home.gateway, find_envoy(), concurrency=workers))
    assert (home.gateway / "bootstrap.json").is_file()
