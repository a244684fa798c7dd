"""Nobody waits for the store's lock without a limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.errors import Unavailable
from datasets.preheat.disk import locked


def test_a_lock_that_another_one_holds_is_given_up_with_a_reason(tmp_path: Path) -> None:
    second = locked(tmp_path / "lock", seconds=0.05)
    with locked(tmp_path / "lock"), pytest.raises(Unavailable, match="has been in use"):
        second.__enter__()
    with locked(tmp_path / "lock", seconds=0.05):
        pass
