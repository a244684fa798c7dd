"""Files of a tree are in memory by the time that their server wants them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from datasets.preheat import readahead
from datasets.preheat.disk import flush

MIB = 1 << 20


def cold(path: Path, size: int) -> Path:
    """A file of which nothing is in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    flush(path.parent)
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if in_memory(path):
        pytest.skip("The file system of this folder keeps all files in memory.")
    return path


def in_memory(path: Path) -> bool:
    """Whether all of it is, asked without reading it."""
    with path.open("rb") as stream:
        for offset in range(0, path.stat().st_size, 4096):
            try:
                if not os.preadv(stream.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT):
                    return False
            except BlockingIOError:
                return False
    return True


def wait_for(path: Path) -> bool:
    for _ in range(200):
        if in_memory(path):
            return True
        time.sleep(0.05)
    return False


def test_all_of_every_file_is_read(tmp_path: Path) -> None:
    large, small = cold(tmp_path / "1" / "large.bin", 9 * MIB + 5), cold(tmp_path / "small.bin", 10)
    readahead.read_ahead(tmp_path)
    assert wait_for(large)
    assert wait_for(small)


def test_what_does_not_fit_is_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    large, small = cold(tmp_path / "large.bin", 9 * MIB), cold(tmp_path / "small.bin", MIB)
    readahead.ask(tmp_path, 2 * MIB)
    assert wait_for(small)
    assert not in_memory(large)


def test_a_tree_that_is_gone_or_cannot_be_read_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/nowhere")
    readahead.ask(tmp_path, 1 << 40)
    readahead.ask(tmp_path / "gone", 1 << 40)


def test_the_system_says_what_memory_is_available() -> None:
    assert 0 < readahead.available() < 1 << 50
