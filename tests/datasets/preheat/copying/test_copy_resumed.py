"""Copying that ended midway: a process that was killed, a machine that went down, a journal cut short."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.home import CHECKOUT
from datasets.errors import Paused, SourceDamaged, SourceError
from datasets.preheat import journal
from datasets.preheat.copying import copy as copying
from datasets.preheat.copying import streams as streams_module
from datasets.preheat.copying.speed import Limit
from datasets.preheat.journal import Busy, Staging
from datasets.preheat.store.trees import Store
from datasets.sources.local.source import LocalSource
from tests.datasets.preheat.copying.helpers import (
    KIB,
    PIECE,
    Dying,
    Watched,
    big,
    copy_all,
    die,
    interrupted,
    store_pieces,
)


@pytest.mark.parametrize("at", [1, 17 * KIB, 64 * KIB, 65 * KIB, 300 * KIB, 1000 * KIB, 1024 * KIB])
@pytest.mark.parametrize("streams", [1, 4])
def test_an_interrupted_file_goes_on_inside_it(
    source: LocalSource, store: Store, files: Path, at: int, streams: int
) -> None:
    content = big(files)
    dying = Watched(source, {at: die})
    dying.streams = streams  # type: ignore[misc]
    with pytest.raises(Dying):
        copy_all(dying, store, "big")
    came = store_pieces(store)
    stored, contents, again = copy_all(source, store, "big")
    assert contents == {"big.bin": content}
    assert stored[0].sha256 == hashlib.sha256(content).hexdigest()
    assert again == len(content) - came
    assert came >= min(at, len(content)) - streams * PIECE


def refuse() -> None:
    raise SourceError("The server is away.")


def pause() -> None:
    raise Paused("Paused.")


@pytest.mark.parametrize("at", [17 * KIB, 64 * KIB, 100 * KIB, 700 * KIB])
@pytest.mark.parametrize("streams", [1, 4])
def test_an_attempt_that_ends_loses_no_byte_of_the_pieces_that_were_under_way(
    source: LocalSource, store: Store, files: Path, at: int, streams: int
) -> None:
    content, came = big(files), [0]
    failing = Watched(source, {at: refuse})
    failing.streams = streams  # type: ignore[misc]
    with pytest.raises(SourceError, match="away"):
        copy_all(failing, store, "big", progress=lambda seen: came.append(seen.bytes_copied))
    assert came[-1] <= (stored_bytes := store_pieces(store))
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content) - stored_bytes)


def test_a_pause_loses_no_byte_either(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "LOOK", 0.01)
    content, came, wishes = big(files), [0], [False]
    wished = Watched(source, {100 * KIB: lambda: wishes.append(True)})
    with pytest.raises(Paused):
        copy_all(
            wished,
            store,
            "big",
            limit=Limit(1 << 20),
            progress=lambda seen: came.append(seen.bytes_copied),
            check=lambda: pause() if wishes[-1] else None,
        )
    assert 0 < came[-1] <= (stored_bytes := store_pieces(store))
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content) - stored_bytes)


def test_the_front_of_a_piece_that_is_not_what_was_noted_comes_again(
    source: LocalSource, store: Store, files: Path
) -> None:
    content = big(files)
    with pytest.raises(SourceError):
        copy_all(Watched(source, {100 * KIB: refuse}), store, "big")
    assert store_pieces(store) == 96 * KIB  # one piece, and half of the next
    with next((store.root / "staging" / "1" / "parts").iterdir()).open("r+b") as stream:
        stream.seek(PIECE + 5)
        stream.write(b"damaged")
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content) - PIECE)


def test_of_a_piece_that_arrived_damaged_nothing_is_gone_on_with(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "PAUSES", ())

    def damaged() -> None:
        raise SourceDamaged("big.bin")

    content = big(files)
    with pytest.raises(SourceDamaged):
        copy_all(Watched(source, {100 * KIB: damaged}), store, "big")
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content) - PIECE)


def test_only_the_piece_that_is_not_what_was_noted_comes_again(source: LocalSource, store: Store, files: Path) -> None:
    content = big(files)
    with interrupted(source, store).open("r+b") as stream:
        stream.seek(3 * PIECE + 5)
        stream.write(b"damaged")
    _, contents, moved = copy_all(source, store, "big")
    assert (contents, moved) == ({"big.bin": content}, len(content) - 640 * KIB + PIECE)


def test_a_part_shorter_than_what_was_noted_starts_over(source: LocalSource, store: Store, files: Path) -> None:
    content = big(files)
    os.truncate(interrupted(source, store), 10)
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content))


def test_after_the_machine_went_down_only_what_was_flushed_counts(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = big(files)
    staging = store.root / "staging" / "1"

    def flush() -> None:
        with (staging / "journal").open("ab") as stream:
            stream.write(b'{"flush": "begun"}\n{"flush": "done"}\n')

    with pytest.raises(Dying):
        copy_all(Watched(source, {321 * KIB: flush, 641 * KIB: die}), store, "big")
    monkeypatch.setattr(journal, "boot_id", lambda: "another boot")
    with store.staging("1") as held:
        assert [len(pieces) for pieces in held.facts.pieces.values()] == [5]
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content) - 320 * KIB)


def test_after_the_machine_went_down_without_a_flush_nothing_counts(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = big(files)
    interrupted(source, store)
    monkeypatch.setattr(journal, "boot_id", lambda: "another boot")
    assert copy_all(source, store, "big")[1:] == ({"big.bin": content}, len(content))


def test_a_finished_part_that_went_missing_is_copied_again(source: LocalSource, store: Store) -> None:
    copy_all(source, store, "svm")
    for part in (store.root / "staging" / "1" / "parts").iterdir():
        if part.stat().st_size == 256_000:
            part.unlink()
    assert copy_all(source, store, "svm")[2] == 256_000


@pytest.mark.parametrize(
    "tail", [b'{"done": "abc", "sha', b"\x00\x00\x00\n", b"[]\n", b'{"piece": "k"}\n', b"not json\n"]
)
def test_a_journal_cut_short_is_used_up_to_there(source: LocalSource, store: Store, tail: bytes) -> None:
    copy_all(source, store, "svm")
    with (store.root / "staging" / "1" / "journal").open("ab") as stream:
        stream.write(tail)
    next(part for part in (store.root / "staging" / "1" / "parts").iterdir() if part.stat().st_size == 15).unlink()
    assert copy_all(source, store, "svm")[2] == 15  # what is noted from here on counts again
    assert copy_all(source, store, "svm")[2] == 0


def test_who_cannot_read_the_journal_does_not_keep_the_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", broken)
        with pytest.raises(OSError, match="Input/output"):
            store.staging("1").__enter__()
    with store.staging("1"):
        pass


def test_a_lost_journal_only_costs_copying_again(source: LocalSource, store: Store) -> None:
    first = copy_all(source, store, "svm")
    (store.root / "staging" / "1" / "journal").unlink()
    assert copy_all(source, store, "svm") == first


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
