"""Copying a plan: resuming inside a file, stopping, and sources and disks that misbehave."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.home import CHECKOUT
from datasets.errors import Cancelled, PreheatError, SourceChanged
from datasets.preheat import copy as copying
from datasets.preheat.copy import Progress, Speed, copy
from datasets.preheat.journal import Busy, Staging, key_of
from datasets.preheat.store import Store
from datasets.sources.local import LocalSource
from datasets.specs import StoredFile

KIB = 1024
CHUNK, INTERVAL = 16 * KIB, 64 * KIB


def copy_all(
    source: LocalSource, store: Store, path: str, **options: Any
) -> tuple[tuple[StoredFile, ...], dict[str, bytes], int]:
    """Copies in small steps; the stored files, what is in the parts, and how many bytes moved."""
    plan = source.plan(path)
    moved = [0]
    options = {"progress": lambda seen: moved.append(seen.bytes_copied), "chunk": CHUNK, "interval": INTERVAL} | options
    with store.staging("1") as staging:
        stored = copy(plan, source, path, staging, **options)
        content = {file.path: staging.part(key_of(file)).read_bytes() for file in plan.files}
    return stored, content, moved[-1]


def stop_after(calls: int, error: BaseException | None = None) -> Callable[[], None]:
    """Goes on that many times, then raises: what the end of a process looks like from inside."""
    left = [calls]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise error or KeyboardInterrupt

    return check


def big(files: Path, size: int = 1024 * KIB) -> bytes:
    (files / "big").mkdir(exist_ok=True)
    content = os.urandom(size)
    (files / "big" / "big.bin").write_bytes(content)
    return content


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
    assert len(seen) > 256_000 // CHUNK


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


@pytest.mark.parametrize("calls", [0, 1, 3, 4, 5, 17, 40, 63])
def test_an_interrupted_file_goes_on_from_the_last_note(
    source: LocalSource, store: Store, files: Path, calls: int
) -> None:
    content = big(files)
    moved = [0]
    with pytest.raises(KeyboardInterrupt):
        copy_all(source, store, "big", check=stop_after(calls), progress=lambda seen: moved.append(seen.bytes_copied))
    stored, found, again = copy_all(source, store, "big")
    assert found == {"big.bin": content}
    assert stored[0].sha256 == hashlib.sha256(content).hexdigest()
    assert len(content) <= moved[-1] + again <= len(content) + INTERVAL


def test_a_part_that_is_not_what_was_noted_starts_over(source: LocalSource, store: Store, files: Path) -> None:
    content = big(files)
    with pytest.raises(KeyboardInterrupt):
        copy_all(source, store, "big", check=stop_after(40))
    part = next((store.root / "staging" / "1" / "parts").iterdir())
    with part.open("r+b") as stream:
        stream.write(b"damaged")
    _, found, moved = copy_all(source, store, "big")
    assert (found, moved) == ({"big.bin": content}, len(content))


def test_a_part_shorter_than_what_was_noted_starts_over(source: LocalSource, store: Store, files: Path) -> None:
    content = big(files)
    with pytest.raises(KeyboardInterrupt):
        copy_all(source, store, "big", check=stop_after(40))
    os.truncate(next((store.root / "staging" / "1" / "parts").iterdir()), 10)
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content))


def test_a_finished_part_that_went_missing_is_copied_again(source: LocalSource, store: Store) -> None:
    copy_all(source, store, "svm")
    for part in (store.root / "staging" / "1" / "parts").iterdir():
        if part.stat().st_size == 256_000:
            part.unlink()
    assert copy_all(source, store, "svm")[2] == 256_000


@pytest.mark.parametrize("tail", [b'{"done": "abc", "sha', b"\x00\x00\x00\n", b"[]\n", b'{"at": "k"}\n', b"not json\n"])
def test_a_journal_cut_short_is_used_up_to_there(source: LocalSource, store: Store, tail: bytes) -> None:
    copy_all(source, store, "svm")
    with (store.root / "staging" / "1" / "journal").open("ab") as stream:
        stream.write(tail)
    next(part for part in (store.root / "staging" / "1" / "parts").iterdir() if part.stat().st_size == 15).unlink()
    assert copy_all(source, store, "svm")[2] == 15  # what is noted from here on counts again
    assert copy_all(source, store, "svm")[2] == 0


def test_a_lost_journal_only_costs_copying_again(source: LocalSource, store: Store) -> None:
    first = copy_all(source, store, "svm")
    (store.root / "staging" / "1" / "journal").unlink()
    assert copy_all(source, store, "svm") == first


def test_cancelling_stops_within_a_chunk(source: LocalSource, store: Store, files: Path) -> None:
    big(files)
    seen: list[Progress] = []

    def check() -> None:
        if len(seen) == 5:
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        copy_all(source, store, "big", check=check, progress=seen.append)
    assert seen[-1].bytes_done == 5 * CHUNK


def test_cancelling_stops_while_an_earlier_part_is_read_again(source: LocalSource, store: Store, files: Path) -> None:
    big(files)
    with pytest.raises(KeyboardInterrupt):
        copy_all(source, store, "big", check=stop_after(60))
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        copy_all(source, store, "big", check=stop_after(3, Cancelled("Cancelled.")), progress=seen.append)
    assert seen == []


def test_a_file_that_changes_midway_is_noticed_and_only_it_is_copied_again(
    source: LocalSource, store: Store, files: Path
) -> None:
    path = files / "svm" / "1" / "weights.bin"
    changed = []

    def change(seen: Progress) -> None:
        if seen.bytes_done > 100 * KIB and not changed:
            changed.append(path.write_bytes(b"y" * 256_000))

    with pytest.raises(SourceChanged, match=r"weights\.bin"):
        copy_all(source, store, "svm", progress=change)
    _, content, moved = copy_all(source, store, "svm")
    assert content["1/weights.bin"] == b"y" * 256_000
    assert moved == 256_000 + 30  # config.pbtxt comes after it; model.py was there already


@pytest.mark.parametrize("size", [0, 100 * KIB, 2000 * KIB])
def test_a_file_that_shrinks_or_grows_midway_is_noticed(
    source: LocalSource, store: Store, files: Path, size: int
) -> None:
    big(files)

    def change(seen: Progress) -> None:
        if seen.bytes_done == 32 * KIB:
            os.truncate(files / "big" / "big.bin", size)

    with pytest.raises(SourceChanged):
        copy_all(source, store, "big", progress=change)


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
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda _: type("U", (), {"free": copying.MARGIN + (3 << 30)}))
    seen: list[Progress] = []
    with pytest.raises(PreheatError, match=r"5\.0 GiB are needed, 3\.0 GiB are free") as caught:
        copy_all(source, store, "huge", progress=seen.append)
    assert caught.value.permanent
    assert seen == []


def test_what_is_on_disk_already_does_not_count_as_needed(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big(files)
    with pytest.raises(KeyboardInterrupt):
        copy_all(source, store, "big", check=stop_after(60))
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda _: type("U", (), {"free": copying.MARGIN + 100 * KIB}))
    assert copy_all(source, store, "big")[2] <= 100 * KIB + INTERVAL


def test_a_disk_that_fills_up_midway_is_told_in_words(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big(files)

    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copying, "_write", full)
    with pytest.raises(PreheatError, match="Not enough disk space"):
        copy_all(source, store, "big")


def test_only_one_process_may_hold_a_staging_directory(store: Store) -> None:
    with store.staging("1"):
        with pytest.raises(Busy):
            store.staging("1").__enter__()
        with store.staging("2"):
            pass
    with store.staging("1"):
        pass


def test_five_thousand_small_files_take_seconds(source: LocalSource, store: Store, files: Path) -> None:
    for folder in range(50):
        (files / "many" / str(folder)).mkdir(parents=True)
        for number in range(100):
            (files / "many" / str(folder) / str(number)).write_bytes(b"%d" % number)
    started = time.monotonic()
    stored, _, _ = copy_all(source, store, "many")
    assert len(stored) == 5000
    assert time.monotonic() - started < 60
    started = time.monotonic()
    assert copy_all(source, store, "many")[2] == 0
    assert time.monotonic() - started < 30


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


CHILD = """
import sys
from pathlib import Path
from datasets.preheat.copy import copy
from datasets.preheat.journal import Staging
from datasets.sources.base import Site
from datasets.sources.local import LocalSource
root, staging, chunk, interval = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
source = LocalSource({"path": str(root)}, Site(roots=(root,)))
moved = 0
def tell(seen):
    print(seen.bytes_copied, flush=True)
with Staging(staging) as held:
    copy(source.plan("big"), source, "big", held, progress=tell, chunk=chunk, interval=interval)
"""


def test_a_killed_copier_is_resumed_inside_its_file(
    source: LocalSource, store: Store, files: Path
) -> None:
    """A real process is killed with -9 again and again, each time somewhere else; it copies little twice."""
    size = 4096 * KIB
    content = big(files, size)
    staging = store.root / "staging" / "1"
    command = [sys.executable, "-c", CHILD, str(files), str(staging), str(CHUNK), str(INTERVAL)]
    total, kills = 0, 0
    for target in (1, 7, 23, 41, 5, 60):  # chunks after which it is killed
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if int(line) >= target * CHUNK:
                    child.send_signal(signal.SIGKILL)
                    break
            told = [int(line), *(int(more) for more in child.stdout)]  # what it did before the signal arrived
        assert child.returncode == -signal.SIGKILL
        total += max(told)
        kills += 1
    _, found, last = copy_all(source, store, "big")
    assert found == {"big.bin": content}
    assert last < size
    # Each kill costs at most one interval, and the chunk that was written but not told.
    assert total + last <= size + kills * (INTERVAL + CHUNK)


HOLDER = """
import sys, time
from pathlib import Path
from datasets.preheat.journal import Staging
with Staging(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_staging_locks_end_with_their_process(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "s")], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Busy):
            Staging(tmp_path / "s").__enter__()
    finally:
        child.kill()
        child.communicate()
    with Staging(tmp_path / "s"):
        pass
