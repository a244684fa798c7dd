"""A large file of an export is read as it is, and a read that hangs ends: by patience, or when somebody closes it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.sources.nfs.body import ROOM, content, whole
from datasets.sources.nfs.timeouts import Patience


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, int]]:
    """A file that hangs whoever reads it, and the end to feed it by."""
    out, into = os.pipe()
    yield FileIO(out), into
    os.close(into)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def until_open(count: int) -> None:
    for _ in range(200):
        if open_files() == count:
            return
        time.sleep(0.01)
    raise AssertionError((open_files(), count))


def test_bytes_arrive_as_they_are_whatever_the_buffer(tmp_path: Path) -> None:
    data = os.urandom(ROOM * 2 + 12345)
    (tmp_path / "a").write_bytes(data)
    for size in (1000, ROOM, ROOM * 4):
        before, got, buffer = open_files(), bytearray(), bytearray(size)
        with content(FileIO(tmp_path / "a"), "a", Patience("here", 5)) as body:
            while count := body.readinto(buffer):
                got += buffer[:count]
        assert bytes(got) == data and open_files() == before
    assert content(FileIO(tmp_path / "a"), "a", Patience("here", 5)).read(10) == data[:10]


def test_small_files_are_there_at_once() -> None:
    body, buffer = whole(b"hello"), bytearray(3)
    assert [body.readinto(buffer), bytes(buffer), body.read(), body.read(5)] == [3, b"hel", b"lo", b""]
    body.close()
    with pytest.raises(SourceError):
        body.readinto(buffer)


def test_a_read_that_hangs_is_left_and_its_file_closed_later(pipe: tuple[FileIO, int]) -> None:
    body = content(pipe[0], "weights.bin", Patience("hanging", 0.2))
    held = open_files()
    buffer = bytearray(b"untouched")
    with pytest.raises(SourceError, match="does not answer") as caught:
        body.readinto(buffer)
    assert not caught.value.permanent
    with pytest.raises(SourceError, match="closed"):
        body.readinto(buffer)
    body.close()
    assert open_files() == held
    os.write(pipe[1], b"too late!")
    until_open(held - 1)
    assert buffer == b"untouched"  # it may be another file's by now


def test_closing_from_another_thread_ends_a_read_soon(pipe: tuple[FileIO, int]) -> None:
    body = content(pipe[0], "weights.bin", Patience("closing", 30))
    held = open_files()
    threading.Timer(0.2, body.close).start()
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"weights.bin was closed while it was read"):
        body.readinto(bytearray(10))
    assert time.monotonic() - began < 20
    os.write(pipe[1], b"x")
    until_open(held - 1)


def test_what_the_operating_system_refuses_is_said(tmp_path: Path) -> None:
    with content(FileIO(tmp_path / "a", "w"), "a", Patience("here", 5)) as body:
        with pytest.raises(SourceError, match="a cannot be read: Bad file descriptor") as caught:
            body.readinto(bytearray(10))
        assert not caught.value.permanent
