"""Clocks that move: leases are then far behind or far ahead, and neither copies twice nor waits for hours."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.datasets.faults.outcome import assert_none, assert_whole
from tests.integration.preheat.plane import MIB, Plane, is_done, wait_until

pytestmark = [pytest.mark.integration]
HOURS = 6
# Runs `python -m celery …` with another idea of what time it is, as the console asks for it.
SHIFTED = """
import datetime, runpy, sys, time
from django.utils import timezone
shift, real, now = float(sys.argv[1]), time.time, timezone.now
time.time = lambda: real() + shift
timezone.now = lambda: now() + datetime.timedelta(seconds=shift)
sys.path.insert(0, "")
sys.argv = ["celery", *sys.argv[5:]]
runpy.run_module("celery", run_name="__main__")
"""


def a_model(plane: Plane, size: int) -> dict[str, bytes]:
    contents = {"weights.bin": os.urandom(size - MIB), "small.bin": os.urandom(MIB)}
    (plane.models / "m").mkdir()
    for name, content in contents.items():
        (plane.models / "m" / name).write_bytes(content)
    return contents


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "shifted.py"
    path.write_text(SHIFTED)
    return path


@pytest.mark.parametrize("hours", [HOURS, -HOURS])
def test_a_worker_whose_clock_was_wrong_is_killed_and_the_next_goes_on_soon(
    plane: Plane, script: Path, hours: int
) -> None:
    contents = a_model(plane, 160 * MIB)
    plane.env["PREHEAT_MIB_PER_SECOND"] = "24"
    pk = plane.ask("m")
    wrong = plane.worker(sys.executable, str(script), str(hours * 3600))
    wait_until(lambda: plane.bytes_staged(pk) >= 32 * MIB)
    wrong.send_signal(signal.SIGKILL)
    wrong.wait(10)
    left, bytes_staged = plane.round(pk), plane.bytes_staged(pk)
    assert_none(plane)
    plane.worker()
    plane.beat()
    done = plane.wait(pk, is_done)
    assert_whole(plane, done, contents)
    assert done["bytes_copied"] - left["bytes_copied"] <= 160 * MIB - bytes_staged


def test_a_worker_whose_clock_is_behind_is_not_robbed_while_it_lives(plane: Plane, script: Path) -> None:
    contents = a_model(plane, 128 * MIB)
    plane.env["PREHEAT_MIB_PER_SECOND"] = "8"
    pk = plane.ask("m")
    plane.worker(sys.executable, str(script), str(-HOURS * 3600))
    wait_until(lambda: plane.round(pk)["bytes_copied"] > 0)
    owner = plane.round(pk)["lease_token"]
    plane.worker()  # for this one, every lease of the other ran out long ago
    plane.beat()
    done = plane.wait(pk, is_done)
    assert_whole(plane, done, contents)
    assert (done["lease_token"], done["bytes_copied"]) == (owner, 128 * MIB)
