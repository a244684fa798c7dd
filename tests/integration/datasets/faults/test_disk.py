"""A disk that fills up under a round, and a store or a file that may not be touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.datasets.faults.outcome import assert_none, assert_whole
from tests.integration.preheat.plane import MIB, Plane, is_done, wait_until

pytestmark = [pytest.mark.integration]
SMALL_DISK = 256 * MIB
# Root writes anywhere, so that right is taken away from its worker.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.fixture
def small_disk(plane: Plane) -> Iterator[Path]:
    """The plane's store is on a disk of its own."""
    folder = plane.home.store
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip(
            "nothing may be mounted here; a disk that fills up is also in tests/datasets/preheat/copying/test_copy.py"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def a_model(plane: Plane, count: int) -> dict[str, bytes]:
    contents = {f"{number}.bin": os.urandom(MIB) for number in range(count)}
    (plane.models / "m").mkdir()
    for name, content in contents.items():
        (plane.models / "m" / name).write_bytes(content)
    return contents


def test_a_disk_that_fills_up_midway_is_told_and_what_was_copied_is_kept(plane: Plane, small_disk: Path) -> None:
    contents = a_model(plane, 120)
    plane.env["PREHEAT_MIB_PER_SECOND"] = "16"
    plane.worker()
    plane.beat()
    pk = plane.ask("m")
    wait_until(lambda: plane.bytes_staged(pk) >= 20 * MIB)
    filler = small_disk / "filler"
    with filler.open("wb") as stream:
        for left in range(1, 20):  # the worker writes on between the look and this
            with suppress(OSError):
                os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(small_disk).free - left * MIB)
                break
    row = plane.wait(pk, lambda row: "Not enough disk space on this node" in row["message"])
    assert row["state"] == "COPYING"
    assert "are needed" in row["message"]
    assert_none(plane)

    filler.unlink()
    done = plane.wait(pk, is_done)
    assert_whole(plane, done, contents)
    assert done["bytes_copied"] <= 132 * MIB  # of what was there, a few unfinished pieces came again


def test_a_disk_with_too_little_room_is_told_before_a_byte_moves(plane: Plane, small_disk: Path) -> None:
    a_model(plane, 200)
    plane.worker()
    row = plane.ended(plane.ask("m"))
    assert (row["state"], row["bytes_copied"]) == ("FAILED", 0)
    assert "Not enough disk space on this node: 200.0 MiB are needed" in row["message"].replace("200 MiB", "200.0 MiB")
    assert_none(plane)


@pytest.fixture
def without_rights() -> tuple[str, ...]:
    if WITHOUT_RIGHTS and subprocess.run([*WITHOUT_RIGHTS, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("root's rights cannot be taken away from a child here")
    return WITHOUT_RIGHTS


def test_a_store_that_may_not_be_written_is_told_and_used_once_it_may(
    plane: Plane, without_rights: tuple[str, ...]
) -> None:
    contents = a_model(plane, 3)
    staging = plane.home.store / "staging"
    staging.mkdir(parents=True)
    staging.chmod(0o500)
    plane.worker(*without_rights)
    plane.beat()
    pk = plane.ask("m")
    row = plane.wait(pk, lambda row: bool(row["attempts"]))
    assert "The store of this node cannot be written: Permission denied. Attempt 1 of 5" in row["message"]
    assert_none(plane)
    staging.chmod(0o700)
    assert_whole(plane, plane.wait(pk, is_done), contents)


def test_a_file_that_may_not_be_read_is_named_and_nothing_is_published(
    plane: Plane, without_rights: tuple[str, ...]
) -> None:
    a_model(plane, 3)
    (plane.models / "m" / "1.bin").chmod(0)
    plane.worker(*without_rights)
    plane.beat()
    row = plane.ended(plane.ask("m"))
    assert row["state"] == "FAILED"
    assert "1.bin" in row["message"]
    assert_none(plane)
