"""Unpacking once, for all who look into an archive."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import lzma
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from datasets.errors import SourceError
from datasets.jobs import housekeeping
from datasets.sources.archives import spool, unpack
from tests.datasets.sources.archives.making import (
    ARCHIVES,
    NAMES,
    RANDOM,
    source,
)
from tests.datasets.sources.wire import holding, serving


def test_the_hourly_upkeep_of_the_node_removes_what_is_old(tmp_path: Path, settings: Settings, db: None) -> None:
    home = dataclasses.replace(settings.HOME, root=tmp_path)
    settings.HOME = home
    home.spool.mkdir()
    for name, age in (("old", 7200), ("new", 60)):
        (home.spool / name).touch()
        os.utime(home.spool / name, (time.time() - age,) * 2)
    housekeeping.evict_unused()
    assert [path.name for path in home.spool.iterdir()] == ["new"]


def test_no_room_is_said_before_the_disk_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spool, "LEAVE", 1 << 60)
    monkeypatch.setattr(spool, "_LOOK", 1 << 10)
    full = pytest.raises(SourceError, match="no room on this node")
    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire, full as caught:
        source(wire, "m.tgz", tmp_path).plan("")
    assert not caught.value.permanent
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_what_nobody_used_for_an_hour_is_removed_and_what_is_open_can_be_read_on(tmp_path: Path) -> None:
    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire:
        http_source = source(wire, "m.tgz", tmp_path)
        plan = http_source.plan("")
        spool.sweep(tmp_path)
        kept = [path for path in tmp_path.iterdir() if not path.suffix]
        assert len(kept) == 1
        os.utime(kept[0], (1, 1))
        spool.sweep(tmp_path)
        assert not kept[0].exists()
        for file in plan.files:
            with http_source.open(file, "") as body:
                assert body.read() == NAMES[file.path]


def test_a_plan_that_is_stopped_while_it_unpacks_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unpack, "PIECE", 10_000)

    class Stopped(Exception):
        pass

    beats = iter([None] * 5)

    def beat() -> None:
        if next(beats, Stopped) is Stopped:
            raise Stopped

    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire, pytest.raises(Stopped):
        source(wire, "m.tgz", tmp_path).plan("", beat=beat)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_who_waits_for_an_archive_that_another_one_unpacks_can_be_stopped(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    held, go = threading.Event(), threading.Event()

    def slow() -> None:
        held.set()
        go.wait(10)

    def stop() -> None:
        raise Stopped

    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire, ThreadPoolExecutor(1) as threads:
        first = threads.submit(source(wire, "m.tgz", tmp_path).plan, "", beat=slow)
        assert held.wait(10)
        with pytest.raises(Stopped):
            source(wire, "m.tgz", tmp_path).plan("", beat=stop)
        go.set()
        assert len(first.result(20).files) == len(NAMES)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_unpacking_does_not_care_where_pieces_end(packing: str, piece: int) -> None:
    plain = RANDOM[:3000] + bytes(2_500_000 if piece > 100 else 3000)
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packing]
    data = pack(plain[:2000]) + pack(b"") + pack(plain[2000:])
    pieces = list(unpack.unpacked(packing, (data[at : at + piece] for at in range(0, len(data), piece)), "m"))
    assert b"".join(pieces) == plain
    assert max(map(len, pieces)) <= unpack.PIECE
