"""A model may put anything into its working directory. What the console writes there stays there."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services.engines.local.run_dir import RunDir

TRICKS: dict[str, Callable[[Path, Path], None]] = {
    "a link to a folder": lambda path, outside: path.symlink_to(outside),
    "a link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "a file": lambda path, outside: path.write_text("x"),
    "a pipe": lambda path, outside: os.mkfifo(path),
}


def endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


LARGE: dict[str, Callable[[Path, Path], None]] = {
    "a folder with something in it": lambda path, outside: (path / "full").mkdir(parents=True),
    "a file without end": lambda path, outside: endless(path),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("precious")
    (folder / "1" / "model.py").write_text("precious")
    return folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def state(folder: Path) -> list[tuple[str, str]]:
    return sorted((str(path), path.read_text() if path.is_file() else "") for path in folder.rglob("*"))


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("place", ["repository", "repository/digits"])
def test_a_folder_that_was_replaced_is_made_again_and_nothing_outside_changes(
    run_dir: Path, outside: Path, trick: str, place: str
) -> None:
    before = state(outside)
    (run_dir / place).parent.mkdir(parents=True, exist_ok=True)
    TRICKS[trick](run_dir / place, outside)
    target = RunDir(run_dir)
    target.remove("repository/digits/config.pbtxt")
    target.write("repository/digits/config.pbtxt", b"ours")
    target.link("repository/digits/1", Path("/models/1"))
    assert state(outside) == before
    folder = run_dir / "repository" / "digits"
    assert (folder / "config.pbtxt").read_bytes() == b"ours"
    assert (folder / "1").readlink() == Path("/models/1")
    assert not any(path.is_symlink() for path in (folder, folder.parent))


@pytest.mark.parametrize("trick", TRICKS)
def test_a_file_that_was_replaced_is_written_again_and_nothing_outside_changes(
    run_dir: Path, outside: Path, trick: str
) -> None:
    before = state(outside)
    TRICKS[trick](run_dir / "start.sh", outside / "config.pbtxt")
    RunDir(run_dir).write("start.sh", b"ours")
    assert state(outside) == before
    assert (run_dir / "start.sh").read_bytes() == b"ours" and not (run_dir / "start.sh").is_symlink()
    assert [path.name for path in run_dir.iterdir()] == ["start.sh"]


def test_a_link_takes_the_place_of_a_folder_with_a_link_in_it(run_dir: Path, outside: Path) -> None:
    before = state(outside)
    (run_dir / "models").mkdir()
    (run_dir / "models" / "trap").symlink_to(outside)
    RunDir(run_dir).link("models", Path("/models"))
    assert state(outside) == before
    assert (run_dir / "models").readlink() == Path("/models")


def test_a_file_that_is_as_it_should_be_is_left_alone(run_dir: Path) -> None:
    target = RunDir(run_dir)
    target.write("a/file", b"same")
    before = (run_dir / "a" / "file").stat().st_ino
    target.write("a/file", b"same")
    assert (run_dir / "a" / "file").stat().st_ino == before
    target.write("a/file", b"other")
    assert (run_dir / "a" / "file").read_bytes() == b"other"
    assert (run_dir / "a" / "file").stat().st_mode & 0o777 == 0o600


def test_what_is_removed_may_be_gone_and_a_folder_stays(run_dir: Path) -> None:
    target = RunDir(run_dir)
    target.write("a/file", b"x")
    for name in ("a/file", "a/file", "a", "missing"):
        target.remove(name)
    assert [path.name for path in run_dir.iterdir()] == ["a"]


@pytest.mark.parametrize("trick", {**TRICKS, **LARGE})
def test_whatever_is_in_the_place_of_a_file_or_a_link_is_replaced_and_not_waited_for(
    run_dir: Path, outside: Path, trick: str
) -> None:
    before = state(outside)
    for name in ("start.sh", "repository"):
        {**TRICKS, **LARGE}[trick](run_dir / name, outside)
    RunDir(run_dir).write("start.sh", b"ours")
    RunDir(run_dir).link("repository", Path("/models"))
    assert (run_dir / "start.sh").read_bytes() == b"ours" and not (run_dir / "start.sh").is_symlink()
    assert (run_dir / "repository").readlink() == Path("/models")
    assert state(outside) == before


def test_a_disk_that_does_not_take_it_leaves_what_was_there(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = RunDir(run_dir)
    target.write("file", b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    for act in (lambda: target.write("file", b"new"), lambda: target.link("file", Path("/models"))):
        with pytest.raises(OSError, match="No space"):
            act()
    assert {path.name: path.read_text() for path in run_dir.iterdir()} == {"file": "old"}


@contextmanager
def swapping(path: Path, outside: Path) -> Iterator[None]:
    """A folder, a link, a pipe and nothing, all the time."""
    ended, aside = threading.Event(), path.with_name("aside")

    def swap() -> None:
        while not ended.is_set():
            for name in ("a link to a folder", "a pipe"):
                with suppress(OSError):
                    path.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
                with suppress(OSError):
                    TRICKS[name](path, outside)
                with suppress(OSError):
                    path.unlink()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("place", ["repository", "repository/1", "repository/1/model.py"])
def test_what_comes_meanwhile_is_not_followed_either(run_dir: Path, outside: Path, place: str) -> None:
    before, target = state(outside), RunDir(run_dir)
    with swapping(run_dir / place, outside):
        for _ in range(300):
            for act in (
                lambda: target.write("repository/1/model.py", secrets.token_bytes(8)),
                lambda: target.remove("repository/1/model.py"),
                lambda: target.link("repository/1", Path("/models/1")),
                lambda: target.remove("repository/config.pbtxt"),
            ):
                with suppress(OSError):
                    act()
    assert state(outside) == before
