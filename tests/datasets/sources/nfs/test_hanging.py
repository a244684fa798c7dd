"""A directory that hangs whoever looks at it: a real file system whose server never answers."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.sources.base import Site
from datasets.sources.nfs.source import NfsSource


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Path]:
    """FUSE, with nobody at the other end: the kernel waits for an answer until its door is closed."""
    point = tmp_path / "allowed" / "dead"
    point.mkdir(parents=True)
    try:
        door = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        pytest.skip("There is no FUSE for this process.")
    options = f"fd={door},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"dead", bytes(point), b"fuse.dead", ctypes.c_ulong(6), options):
        os.close(door)
        pytest.skip("This process may not mount anything.")
    yield point
    os.close(door)
    libc.umount2(bytes(point), 2)


@pytest.mark.slow
def test_a_directory_that_hangs_is_left_and_said_in_words(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NfsSource, "patience", 0.5)
    monkeypatch.setattr("datasets.sources.nfs.mounts.COMMAND_SECONDS", 0.2)
    monkeypatch.setattr("datasets.sources.nfs.mounts.CONNECT_SECONDS", 0.2)
    nfs_source = NfsSource({"server": "nas", "export": "/x", "path": str(dead)}, Site(roots=(dead.parent,)))
    for look in (
        nfs_source.check,
        lambda: nfs_source.entry(""),
        lambda: nfs_source.list(""),
        lambda: nfs_source.plan(""),
        lambda: nfs_source.read("a", 10),
    ):
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"does not answer: nothing came for 0.9 seconds") as caught:
            look()
        assert not caught.value.permanent and time.monotonic() - began < 14


def test_a_directory_that_dies_while_it_is_in_use_is_left_too(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was found is known; what hangs is the look itself."""
    monkeypatch.setattr(NfsSource, "patience", 0.3)
    alive = dead.parent / "alive"
    alive.mkdir()
    (alive / "a").write_text("x")
    nfs_source = NfsSource({"server": "nas", "export": "/x", "path": str(dead.parent)}, Site(roots=(dead.parent,)))
    with pytest.raises(SourceError, match="does not answer"):
        nfs_source.plan("")
    file = nfs_source.plan("alive").files[0]  # its sibling still is read
    with nfs_source.open(file, "alive") as body:
        assert body.read() == b"x"
