"""A file is replaced as a whole or not at all, and one that is made once is."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from console.files import made_once, replace


def test_the_file_is_for_the_owner_only_unless_asked_otherwise(tmp_path: Path) -> None:
    replace(tmp_path / "a", b"x")
    replace(tmp_path / "b", b"x", mode=0o644)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644


def test_a_failure_leaves_the_old_content_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    replace(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_what_is_made_once_is_the_same_for_everybody_who_asks_at_once(tmp_path: Path) -> None:
    numbers = count()
    path = tmp_path / "home" / "key"
    with ThreadPoolExecutor(16) as several:
        results = set(several.map(lambda _: made_once(path, lambda: f"key {next(numbers)}"), range(64)))
    assert results == {path.read_text()} and made_once(path, lambda: "another") == path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]
