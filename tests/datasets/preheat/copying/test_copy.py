"""Copying a plan: every byte, stopping, and sources and disks that misbehave."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import Cancelled, NoRoomYet, PreheatError, SourceChanged, SourceDamaged, SourceError
from datasets.preheat.copying import assembly, streams
from datasets.preheat.copying import copy as copying
from datasets.preheat.copying.copy import Progress, copy
from datasets.preheat.copying.speed import Limit, Speed
from datasets.preheat.journal import Busy, key_of
from datasets.preheat.store.trees import Store
from datasets.sources.base import Body
from datasets.sources.local.source import LocalSource
from datasets.specs import SourceFile
from tests.datasets.preheat.copying.helpers import KIB, PIECE, Counted, Watched, big, copy_all, interrupted


def test_every_file_arrives_with_its_digest(source: LocalSource, store: Store) -> None:
    stored, content, moved = copy_all(source, store, "svm")
    assert content["1/weights.bin"] == bytes(range(256)) * 1000
    assert {file.path: file.sha256 for file in stored} == {
        path: hashlib.sha256(data).hexdigest() for path, data in content.items()
    }
    assert moved == sum(file.size for file in stored) == 256_045


def test_progress_only_grows_and_ends_at_the_total(source: LocalSource, store: Store) -> None:
    seen: list[Progress] = []
    copy_all(source, store, "svm", progress=seen.append)
    assert [one.bytes_done for one in seen] == sorted(one.bytes_done for one in seen)
    assert (seen[-1].bytes_done, seen[-1].files_done) == (256_045, 3)


def test_empty_sparse_executable_and_oddly_named_files_arrive(source: LocalSource, store: Store, files: Path) -> None:
    (files / "odd").mkdir()
    (files / "odd" / "empty").touch()
    with (files / "odd" / "sparse").open("wb") as stream:
        stream.truncate(300 * KIB)
    (files / "odd" / "模型 1.sh").write_text("#!/bin/sh\n")
    (files / "odd" / "模型 1.sh").chmod(0o777)
    _, content, _ = copy_all(source, store, "odd")
    assert content == {"empty": b"", "sparse": bytes(300 * KIB), "模型 1.sh": b"#!/bin/sh\n"}


def test_a_second_run_copies_nothing_again(source: LocalSource, store: Store) -> None:
    first = copy_all(source, store, "svm")
    again = copy_all(source, store, "svm")
    assert again[:2] == first[:2]
    assert again[2] == 0


def test_stopping_ends_every_stream(source: LocalSource, store: Store, files: Path) -> None:
    big(files, 64 << 20)
    started = threading.Event()

    def check() -> None:
        if started.is_set():
            raise Cancelled("Cancelled.")

    before = threading.active_count()
    with pytest.raises(Cancelled):
        copy_all(Watched(source, {PIECE: started.set}), store, "big", check=check, limit=Limit(4 << 20))
    assert threading.active_count() == before


def test_stopping_ends_a_stream_that_digests(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big(files)
    interrupted(source, store)
    digesting = threading.Event()
    preadv = os.preadv

    def slow(*args: Any) -> int:
        digesting.set()
        time.sleep(1)  # as on a disk that takes its time: what came before, in chunks of 16 KiB, takes 40 s
        return preadv(*args)

    def check() -> None:
        if digesting.is_set():
            raise Cancelled("Cancelled.")

    monkeypatch.setattr(assembly.os, "preadv", slow)
    before, began = threading.active_count(), time.monotonic()
    with pytest.raises(Cancelled):
        copy_all(source, store, "big", check=check)
    assert time.monotonic() - began < 20
    assert threading.active_count() == before
    assert not (store.root / "trees").exists()


def test_a_limit_on_the_speed_holds_for_all_streams_together() -> None:
    now = [100.0]
    limit = Limit(1000, clock=lambda: now[0])
    assert [limit.pause(500), limit.pause(500)] == [0.5, 1.0]
    now[0] += 3
    assert limit.pause(100) == pytest.approx(0.1)
    assert Limit(0).pause(1 << 40) == 0


def test_a_file_that_changes_midway_is_noticed_and_only_it_is_copied_again(
    source: LocalSource, store: Store, files: Path
) -> None:
    path = files / "svm" / "1" / "weights.bin"
    watched = Watched(source, {100 * KIB: lambda: path.write_bytes(b"y" * 256_000) and None})
    with pytest.raises(SourceChanged, match=r"weights\.bin"):
        copy_all(watched, store, "svm")
    _, content, moved = copy_all(source, store, "svm")
    assert content["1/weights.bin"] == b"y" * 256_000
    assert moved == 256_045  # the largest comes first, so nothing else was there


@pytest.mark.parametrize("size", [0, 100 * KIB, 2000 * KIB])
def test_a_file_that_shrinks_or_grows_midway_is_noticed(
    source: LocalSource, store: Store, files: Path, size: int
) -> None:
    big(files)
    watched = Watched(source, {32 * KIB: lambda: os.truncate(files / "big" / "big.bin", size)})
    with pytest.raises(SourceChanged):
        copy_all(watched, store, "big")


class Flaky(Watched):
    """Every request fails once, in the middle of its first piece, and then not again."""

    def __init__(self, source: LocalSource) -> None:
        super().__init__(source, {})
        self.failed: set[tuple[str, int]] = set()

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        came = [0]

        def fail(count: int) -> None:
            came[0] += count
            if came[0] > PIECE // 2 and (file.path, offset // PIECE) not in self.failed:
                self.failed.add((file.path, offset // PIECE))
                raise SourceError("The connection broke.", permanent=False)

        return Counted(LocalSource.open(self, file, path, offset, length), fail)


def test_a_piece_that_fails_is_tried_again_alone(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PAUSES", (0.0, 0.0))
    content = big(files)
    flaky = Flaky(source)
    seen: list[Progress] = []
    assert copy_all(flaky, store, "big", progress=seen.append)[1] == {"big.bin": content}
    assert len(flaky.failed) > 1
    assert seen[-1].bytes_done == len(content)
    assert seen[-1].bytes_copied == len(content)  # what came of a piece before the connection broke stays


def test_a_server_that_asks_for_patience_gets_it(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(streams, "PAUSES", (0.0,))
    monkeypatch.setattr(streams, "LONGEST", 0.25)
    original = LocalSource.open

    def busy(self: LocalSource, *args: Any) -> Any:
        if not waited:
            waited.append(time.monotonic())
            raise SourceError("The server is busy.", permanent=False, wait=3.0)
        waited.append(time.monotonic())
        return original(self, *args)

    monkeypatch.setattr(LocalSource, "open", busy)
    monkeypatch.setattr(LocalSource, "streams", 1)
    copy_all(source, store, "README.txt")
    assert waited[1] - waited[0] >= 0.25


def test_a_content_that_is_not_what_the_source_says_is_not_kept(
    source: LocalSource, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PAUSES", ())
    plan = source.plan("README.txt")
    right = hashlib.md5(b"models\n", usedforsecurity=False).hexdigest()
    for check, good in (
        (f"md5:{right}", True),
        (f"md5:{right[:-1]}x", False),
        ("crc32:00000000", False),
        (f"git-sha1:{hashlib.sha1(b'blob 7' + bytes(1) + b'models' + bytes([10])).hexdigest()}", True),
        ("sha256:00", False),
        ("unheard-of:00", True),
    ):
        checked_plan = dataclasses.replace(plan, files=(dataclasses.replace(plan.files[0], check=check),))
        with store.staging(check[:3] + str(good)) as staging:
            if good:
                copy(checked_plan, source, "README.txt", staging)
            else:
                with pytest.raises(SourceDamaged, match="arrived damaged"):
                    copy(checked_plan, source, "README.txt", staging)
                assert staging.facts.done == {}


def test_a_large_content_is_compared_with_what_the_source_says_too(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PAUSES", ())
    content = big(files)
    plan = source.plan("big")
    for check, good in ((f"crc32:{zlib.crc32(content):08x}", True), ("md5:00", False)):
        checked_plan = dataclasses.replace(plan, files=(dataclasses.replace(plan.files[0], check=check),))
        with store.staging(str(good)) as staging:
            if good:
                copy(checked_plan, source, "big", staging, piece=PIECE)
            else:
                with pytest.raises(SourceDamaged):
                    copy(checked_plan, source, "big", staging, piece=PIECE)
                assert staging.facts.pieces == {}


def test_a_content_that_is_on_this_disk_already_is_linked(source: LocalSource, store: Store, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.write_bytes(bytes(range(256)) * 1000)
    digest = hashlib.sha256(here.read_bytes()).hexdigest()

    def find_stored(file: SourceFile) -> tuple[str, Path] | None:
        return (digest, here) if file.path == "1/weights.bin" else None

    _, content, moved = copy_all(source, store, "svm", find_stored=find_stored)
    assert content["1/weights.bin"] == here.read_bytes()
    assert moved == 45
    assert here.stat().st_nlink == 2


def test_a_content_of_another_size_is_neither_linked_nor_touched(
    source: LocalSource, store: Store, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"another team's")
    _, content, _ = copy_all(source, store, "svm", find_stored=lambda _: ("0" * 64, theirs))
    assert content["1/weights.bin"] == bytes(range(256)) * 1000
    assert (theirs.read_bytes(), theirs.stat().st_nlink) == (b"another team's", 1)


def test_a_part_that_others_hold_too_is_not_written_into(source: LocalSource, store: Store, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"another team's")
    plan = source.plan("svm")
    with store.staging("1") as staging:
        for file in plan.files:
            os.link(theirs, staging.part(key_of(file)))
        copy(plan, source, "svm", staging)
    assert theirs.read_bytes() == b"another team's"


def test_what_came_from_another_place_does_not_count(source: LocalSource, store: Store) -> None:
    plan = source.plan("svm")
    moved, last = [], list[Progress]()
    for origin in ("here", "here", "there"):
        with store.staging("1") as staging:
            copy(dataclasses.replace(plan, origin=origin), source, "svm", staging, progress=last.append)
        moved.append(last[-1].bytes_copied)
    assert moved == [256_045, 0, 256_045]


def test_parts_of_files_that_left_the_plan_are_dropped(source: LocalSource, store: Store, files: Path) -> None:
    copy_all(source, store, "svm")
    (files / "svm" / "1" / "weights.bin").unlink()
    copy_all(source, store, "svm")
    assert len(list((store.root / "staging" / "1" / "parts").iterdir())) == 2


def test_a_plan_that_does_not_fit_is_refused_before_a_byte_moves(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (files / "huge").open("wb") as stream:
        stream.truncate(5 << 30)
    disk = {"free": copying.MARGIN + (3 << 30), "total": copying.MARGIN + (5 << 30)}
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda _: type("U", (), disk))
    seen: list[Progress] = []
    with pytest.raises(NoRoomYet, match=r"5\.0 GiB are needed, 3\.0 GiB are free") as caught:
        copy_all(source, store, "huge", progress=seen.append)
    assert not caught.value.permanent
    disk["total"] -= 1
    with pytest.raises(PreheatError, match=r"5\.0 GiB are needed, the whole disk has 5\.0 GiB") as final:
        copy_all(source, store, "huge", progress=seen.append)
    assert final.value.permanent
    assert seen == []


def test_what_is_on_disk_already_does_not_count_as_needed(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big(files, 4096 * KIB)
    interrupted(source, store)
    disk = {"free": copying.MARGIN, "total": 1 << 40}
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda _: type("U", (), disk))
    assert copy_all(source, store, "big")[2] == (4096 - 640) * KIB  # its blocks were taken when it began


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "cannot be written: No space left on device"),
        (errno.EDQUOT, "cannot be written: Disk quota exceeded"),
        (errno.EIO, "cannot be written: Input/output error"),
        (errno.EROFS, "cannot be written: Read-only file system"),
    ],
)
def test_a_disk_that_takes_nothing_midway_is_told_in_words_and_waited_for(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    big(files)

    def full(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(assembly, "_write", full)
    with pytest.raises(NoRoomYet, match=words):
        copy_all(source, store, "big")


def test_a_right_that_is_missing_is_not_waited_for_for_ever(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big(files)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(assembly, "_write", refuse)
    with pytest.raises(PreheatError, match="Permission denied") as caught:
        copy_all(source, store, "big")
    assert not isinstance(caught.value, NoRoomYet)


def test_only_one_process_may_hold_a_staging_directory(store: Store) -> None:
    with store.staging("1"):
        with pytest.raises(Busy):
            store.staging("1").__enter__()
        with store.staging("2"):
            pass
    with store.staging("1"):
        pass


def test_the_speed_is_that_of_the_last_seconds() -> None:
    now = [0.0]
    speed = Speed(window=5, clock=lambda: now[0])
    assert speed.reading(0) == 0
    for second in range(1, 11):
        now[0] = second
        assert speed.reading(second * 100) == 100
    for second in range(11, 21):
        now[0] = second
        last = speed.reading(1000)
    assert last == 0
