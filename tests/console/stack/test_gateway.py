"""The gateway as a program of the stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.home import Home
from console.stack.gateway import program
from services.gateway.binary import argv, find_envoy


@pytest.mark.parametrize("workers", [None, 3])
def test_it_has_as_many_workers_as_the_operator_says(tmp_path: Path, workers: int | None) -> None:
    home = Home(tmp_path / "h", tmp_path / "r")
    assert program(home, workers=workers).argv == tuple(argv(home.gateway, find_envoy(), concurrency=workers))
