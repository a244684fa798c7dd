"""A disk that fills up under a round, and a store or a file that may not be touched."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from console.home import Home
from datasets import states
from datasets.sources.base import Body
from datasets.sources.local.source import LocalSource
from datasets.specs import SourceFile
from tests.integration.datasets.faults.worker import MIB, FaultyWorker
from tests.integration.small_disk import SmallDisk, small_disk

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
Make = Callable[[dict[str, bytes]], FaultyWorker]
ANY_FILE = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root read and write any file."""


def model(count: int) -> dict[str, bytes]:
    return {f"{number}.bin": os.urandom(MIB) for number in range(count)}


@pytest.fixture
def disk(home: Home) -> Iterator[SmallDisk]:
    """What the store is on."""
    with small_disk(128 * MIB) as mounted:
        home.root.mkdir()
        home.store.symlink_to(mounted.folder)
        yield mounted


@contextmanager
def without_rights() -> Iterator[None]:
    """Root writes anywhere, so that right is taken away from this thread, and from those that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", 0x20080522, 0)
    before = ctypes.create_string_buffer(24)
    assert libc.capget(header, before) == 0, os.strerror(ctypes.get_errno())
    effective, *others = struct.unpack("6I", before.raw)
    assert libc.capset(header, struct.pack("6I", effective & ~ANY_FILE, *others)) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0, os.strerror(ctypes.get_errno())


def test_a_disk_that_fills_up_midway_is_told_and_what_was_copied_is_kept(
    disk_worker: Make, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = model(40)
    worker, opened, original = disk_worker(contents), [0], LocalSource.open

    def fill_at_the_tenth(source: LocalSource, file: SourceFile, *args: object) -> Body:
        opened[0] += 1
        if opened[0] == 10:
            disk.fill()
        return original(source, file, *args)

    monkeypatch.setattr(LocalSource, "open", fill_at_the_tenth)
    monkeypatch.setattr(LocalSource, "streams", 1)
    job = worker.request("m")
    row = worker.attempt(job)
    assert row.state == states.COPYING
    assert "Not enough disk space on this node" in row.message and "are needed" in row.message
    worker.assert_none()

    disk.empty()
    done = worker.attempt(job)
    worker.assert_whole(done, contents)
    assert done.bytes_copied <= 42 * MIB  # of what was there, an unfinished file came again


def test_a_disk_with_too_little_room_is_told_before_a_byte_moves(disk_worker: Make, disk: SmallDisk) -> None:
    worker = disk_worker(model(80))
    row = worker.attempt(worker.request("m"))
    assert (row.state, row.bytes_copied) == (states.FAILED, 0)
    assert "Not enough disk space on this node: 80.0 MiB are needed" in row.message.replace("80 MiB", "80.0 MiB")
    worker.assert_none()


def test_a_store_that_may_not_be_written_is_told_and_used_once_it_may(disk_worker: Make, home: Home) -> None:
    contents = model(3)
    worker = disk_worker(contents)
    staging = home.store / "staging"
    staging.mkdir(parents=True)
    staging.chmod(0o500)
    job = worker.request("m")
    with without_rights():
        row = worker.attempt(job)
        assert "The store of this node cannot be written: Permission denied. Attempt 1 of 5" in row.message
        worker.assert_none()
        staging.chmod(0o700)
        worker.assert_whole(worker.attempt(job), contents)


def test_a_file_that_may_not_be_read_is_named_and_nothing_is_published(disk_worker: Make) -> None:
    worker = disk_worker(model(3))
    (worker.folder / "1.bin").chmod(0)
    with without_rights():
        row = worker.finish(worker.request("m"))
    assert row.state == states.FAILED
    assert "1.bin" in row.message
    worker.assert_none()
