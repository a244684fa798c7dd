"""Counting the log survives kill -9 at any line of its code, many that count at once, and rotation under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.home import CHECKOUT

pytestmark = pytest.mark.integration


def victim(what: str, home: Path) -> dict[str, Any]:
    env = {**os.environ, "CONSOLE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "console.settings"}
    env.pop("DATABASE_URL", None)  # killing is about the files and SQLite; PostgreSQL's own server is not killed here
    ran = subprocess.run(
        [sys.executable, "-m", "tests.integration.metering.victim", what],
        cwd=CHECKOUT,
        env=env,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    totals: dict[str, Any] = json.loads(ran.stdout)
    return totals


def test_a_kill_before_any_line_of_the_code_changes_no_total(tmp_path: Path) -> None:
    totals = victim("lines", tmp_path)
    assert totals["deaths"] > 100 and totals["last"] == 0, totals
    assert totals["wrong"] == []
    assert totals["counted"] == [totals["written"]] * 5


def test_many_at_once_killed_at_random_while_the_log_is_rotated_count_each_request_once(tmp_path: Path) -> None:
    totals = victim("race", tmp_path)
    assert totals["kills"] > 5 and totals["rotations"] > 3 and totals["written"] > 1000, totals
    assert totals["codes"] == [0, 0]
    assert totals["counted"] == [totals["written"]] * 5
    assert totals["left"] <= 2, "files that are counted are removed"
