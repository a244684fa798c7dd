"""Memory of pieces: it is enough for all streams, and what waits for its digest gives way to what is to come."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import Cancelled
from datasets.preheat import disk
from datasets.preheat.copying import assembly, buffers
from datasets.preheat.copying.buffers import SPARE, Buffers
from datasets.preheat.store.trees import Store
from datasets.sources.local.source import LocalSource
from tests.datasets.preheat.copying.helpers import CHUNK, PIECE, big, copy_all


def alive() -> None:
    pass


def waited_for() -> bool:
    return True


def test_a_kept_piece_is_found_once_and_its_memory_used_again() -> None:
    pool = Buffers(1, 4096)
    first = pool.take(alive, waited_for)
    first[:5] = b"hello"
    pool.keep("a", 0, first)
    assert pool.claim("a", 1) is None
    assert pool.claim("b", 0) is None
    memory = pool.claim("a", 0)
    assert memory is first
    assert bytes(first[:5]) == b"hello"
    assert pool.claim("a", 0) is None
    pool.give_back(first)
    assert pool.take(alive, waited_for) is first


def test_the_last_buffers_are_for_pieces_that_a_digest_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "PATIENCE", 0.2)
    waited: list[None] = []
    pool = Buffers(SPARE + 1, 4096)
    pool.keep("a", 5, pool.take(lambda: waited.append(None)))
    pool.take(lambda: waited.append(None), waited_for)
    assert not waited
    pool.take(lambda: waited.append(None))
    assert len(waited) == 2  # it has given up


def test_who_finds_no_memory_takes_that_of_the_piece_whose_turn_is_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "PATIENCE", 0.01)
    pool = Buffers(3, 4096)
    for number in (1, 7, 4):
        pool.keep("a", number, pool.take(alive, waited_for))
    pool.take(alive)
    pool.take(alive, waited_for)
    assert pool.claim("a", 7) is None
    assert pool.claim("a", 4) is None
    assert pool.claim("a", 1) is not None


def test_a_piece_that_becomes_urgent_waits_no_longer() -> None:
    pool, urgent = Buffers(1, 4096), [False]

    def in_time() -> None:
        urgent[0] = True
        pool.wake()

    timer = threading.Timer(0.05, in_time)
    timer.start()
    assert pool.take(alive, lambda: urgent[0]) is not None
    timer.join()


def test_waiting_for_memory_can_be_stopped() -> None:
    pool = Buffers(1, 4096)
    pool.take(alive, waited_for)

    def stop() -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        pool.take(stop)


@pytest.fixture
def read_back(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of parts that were read again."""
    counts: list[int] = []
    preadv = os.preadv

    def counting(*args: Any) -> int:
        counts.append(preadv(*args))
        return counts[-1]

    monkeypatch.setattr(os, "preadv", counting)
    return counts


@pytest.mark.parametrize("tail", [0, 1, CHUNK, PIECE - 1])
def test_a_large_file_is_digested_without_reading_it_back(
    source: LocalSource, store: Store, files: Path, tail: int, read_back: list[int]
) -> None:
    content = big(files, 8 * PIECE + tail)
    stored, contents, _ = copy_all(source, store, "big")
    assert contents == {"big.bin": content}
    assert stored[0].sha256 == hashlib.sha256(content).hexdigest()
    assert read_back == []


def test_pieces_whose_memory_was_taken_are_read_back(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch, read_back: list[int]
) -> None:
    content = big(files)
    monkeypatch.setattr(Buffers, "claim", lambda self, key, number: None)
    monkeypatch.setattr(buffers, "PATIENCE", 0.01)
    stored, contents, _ = copy_all(source, store, "big")
    assert contents == {"big.bin": content}
    assert stored[0].sha256 == hashlib.sha256(content).hexdigest()
    assert sum(read_back) == len(content)


def test_a_large_file_arrives_where_nothing_is_written_past_the_cache(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = big(files, 8 * PIECE + 77)
    monkeypatch.setattr(assembly, "open_past_cache", lambda name: -1)
    assert copy_all(source, store, "big")[1] == {"big.bin": content}


def test_a_large_file_arrives_where_blocks_are_larger_than_expected(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = big(files, 8 * PIECE + 77)
    refused: list[int] = []

    def refusing(descriptor: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            refused.append(offset)
            raise OSError(errno.EINVAL, "Invalid argument")
        return pwrite(descriptor, data, offset)

    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", refusing)
    assert copy_all(source, store, "big")[1] == {"big.bin": content}
    assert refused


def test_a_full_disk_is_told_also_past_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        disk.write_past_cache(1, memoryview(bytes(4096)), 0)
