"""One request for several pieces, and how many those may be."""

from __future__ import annotations

import errno
import io
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import SourceError
from datasets.preheat.copying import speed, streams
from datasets.preheat.copying.buffers import MEMORY
from datasets.preheat.copying.requests import LONGEST, Request, run_of
from datasets.preheat.store.trees import Store
from datasets.sources.base import Body
from datasets.sources.local.source import LocalSource
from datasets.specs import SourceFile
from tests.datasets.preheat.copying.helpers import KIB, PIECE, Watched, big, copy_all

MIB = 1 << 20


@pytest.mark.parametrize("count", range(1, 33))
@pytest.mark.parametrize("piece", [1 * MIB, 4 * MIB, 16 * MIB])
def test_what_waits_behind_the_first_request_fits_into_memory(count: int, piece: int) -> None:
    run = run_of(count, piece, MEMORY)
    assert 1 <= run <= max(1, LONGEST // piece)
    assert run == 1 or (count - 1) * run * piece + count * piece <= MEMORY


def test_a_request_goes_on_where_it_is_and_another_begins_where_it_is_not() -> None:
    requests: list[tuple[int, int]] = []

    def opened(offset: int, length: int) -> Body:
        requests.append((offset, length))
        return io.FileIO("/dev/zero")

    buffer = memoryview(bytearray(10))
    with Request("a.bin", opened, 100) as request:
        request.go_to(20)
        assert request.readinto(buffer) == 10
        request.go_to(30)
        body = request.body
        request.go_to(50)
        assert body is not None
        assert body.closed
    assert requests == [(20, 80), (50, 50)]
    assert request.body is None


class RecordingSource(Watched):
    """Notes what is asked for."""

    def __init__(self, source: LocalSource) -> None:
        super().__init__(source, {})
        self.ranges: list[tuple[str, int, int]] = []

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        self.ranges.append((file.path, offset, file.size - offset if length is None else length))
        return super().open(file, path, offset, length)


def test_the_less_is_left_the_less_is_asked_for_at_once(source: LocalSource, store: Store, files: Path) -> None:
    content, recording_source = big(files), RecordingSource(source)
    assert copy_all(recording_source, store, "big")[1] == {"big.bin": content}
    assert [length // PIECE for _, _, length in recording_source.ranges] == [8, 4, 2, 1, 1]


def test_small_files_of_this_machine_are_one_threads_work(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "many").mkdir()
    for number in range(50):
        (files / "many" / str(number)).write_bytes(b"x" * number)
    threads = set()
    received = streams.Streams._receive

    def watched(self: streams.Streams, *rest: Any) -> str:
        threads.add(threading.current_thread().name)
        return received(self, *rest)

    monkeypatch.setattr(streams.Streams, "_receive", watched)
    assert len(copy_all(source, store, "many")[1]) == 50
    assert len(threads) == 1  # whichever came first


def test_an_interpreter_that_works_is_busy_and_one_that_waits_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, used = [100.0], [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "process_time", lambda: used[0])
    interpreter = speed.Interpreter()
    assert not interpreter.busy()
    clock[0], used[0] = 100.5, 5.45
    assert interpreter.busy()
    clock[0], used[0] = 100.7, 5.45
    assert interpreter.busy()  # too early to say anything else
    clock[0] = 101.0
    assert not interpreter.busy()


@pytest.mark.parametrize("size", [100, 1024 * KIB])
def test_a_read_that_fails_is_the_sources_fault_and_tried_again(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def failing() -> None:
        failed.append(None)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(streams, "PAUSES", (0.0,))
    failed: list[None] = []
    content = big(files, size)
    assert copy_all(Watched(source, {50: failing}), store, "big")[1] == {"big.bin": content}
    assert failed == [None]
    monkeypatch.setattr(streams, "PAUSES", ())
    with pytest.raises(SourceError, match=r"big\.bin could not be read on"):
        copy_all(Watched(source, {1: failing}), Store(store.root.with_name("other")), "big")
