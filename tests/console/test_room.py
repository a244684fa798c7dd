from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from console import room
from console.room import Room

GIB = 1 << 30


def problem(free: int, error: int = 0) -> str:
    return str(Room(Path("/srv/home"), free, 4 * GIB, error).problem or "")


def test_a_disk_that_takes_writes_and_has_room_is_no_problem(tmp_path: Path) -> None:
    assert room.measure(tmp_path).problem is None
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there_yet_lies_on_the_disk_of_its_ancestor(tmp_path: Path) -> None:
    assert room.measure(tmp_path / "a" / "b").total == room.measure(tmp_path).total


@pytest.mark.parametrize(
    ("free", "error", "sentence"),
    [
        (3 << 20, 0, "The disk of local is full: 3 MiB of 4.0 GiB are free. Free space in /srv/home."),
        (0, errno.ENOSPC, "The disk of local is full: 0 MiB of 4.0 GiB are free. Free space in /srv/home."),
        (2 * GIB, errno.ENOSPC, "The disk of local has no room for another file. Delete files in /srv/home."),
        (2 * GIB, errno.EDQUOT, "The disk quota on local is used up. Free space in /srv/home."),
        (2 * GIB, errno.EROFS, "The disk of local is read-only. Make /srv/home writable again."),
        (2 * GIB, errno.EIO, "The disk of local cannot be written: Input/output error. Check the disk of /srv/home."),
    ],
)
def test_each_way_in_which_a_disk_takes_nothing_has_its_sentence(free: int, error: int, sentence: str) -> None:
    assert problem(free, error).startswith(sentence)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_the_disk_is_asked_by_writing_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(room.tempfile, "TemporaryFile", refuse)
    assert room.measure(tmp_path).error == code
