"""Light files are asked for some time before their answers are read, where a source can do that."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from datasets.errors import Cancelled, SourceError
from datasets.preheat.copying import pipelining, streams
from datasets.preheat.copying.pipelining import Pipeline
from datasets.preheat.store.trees import Store
from datasets.sources.base import Body, PendingFile
from datasets.sources.local.source import LocalSource
from datasets.specs import SourceFile
from tests.datasets.preheat.copying.helpers import KIB, Watched, copy_all

MOST, MANY = 5, 60


class Far(Watched):
    """Notes what is asked for, and what becomes of it. The next `refuses` answers are that it has too much to do."""

    connects: ClassVar[bool] = True
    ahead: ClassVar[int] = MOST * streams.CORES
    streams: ClassVar[int] = 8

    def __init__(self, source: LocalSource, *, refuses: int = 0, unreachable: bool = False) -> None:
        super().__init__(source, {})
        self.waiting: Counter[str] = Counter()
        self.begun: list[str] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.threads: set[str] = set()
        self.most = self.together = 0
        self.refuses, self.unreachable = refuses, unreachable
        self._mine = threading.Lock()

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        with self._mine:
            self.opened.append(file.path)
            self.threads.add(threading.current_thread().name)
            if self.refuses:
                self.refuses -= 1
                raise SourceError("The server has too much to do.", permanent=False)
        return super().open(file, path, offset, length)

    def begin(self, file: SourceFile, path: str) -> PendingFile:
        thread = threading.current_thread().name
        if self.unreachable:
            raise SourceError("The server is away.", permanent=False)
        with self._mine:
            self.begun.append(file.path)
            self.waiting[thread] += 1
            self.most = max(self.most, self.waiting[thread])
            self.together = max(self.together, self.waiting.total())

        def body() -> Body:
            self._over(thread)
            return self.open(file, path)

        def close() -> None:
            self._over(thread)
            self.closed.append(file.path)

        return PendingFile(body, close)

    def _over(self, thread: str) -> None:
        with self._mine:
            self.waiting[thread] -= 1


@pytest.fixture
def many(files: Path) -> dict[str, bytes]:
    contents = {f"{number:02}.bin": os.urandom(number + 1) for number in range(MANY)}
    (files / "many").mkdir()
    for name, content in contents.items():
        (files / "many" / name).write_bytes(content)
    return contents


@pytest.fixture(autouse=True)
def busy(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the process has all hands full, which is when fewer threads ask ahead."""
    now = [True]
    monkeypatch.setattr(streams.Interpreter, "busy", lambda self: now[0])
    monkeypatch.setattr(streams, "PAUSES", (0.0, 0.0, 0.0, 0.0))
    return now


def test_a_busy_process_asks_ahead_by_a_thread_for_each_core(
    source: LocalSource, store: Store, many: dict[str, bytes]
) -> None:
    far = Far(source)
    assert copy_all(far, store, "many")[1] == many
    assert far.most > 1
    assert far.together <= far.ahead
    assert len(far.threads) <= streams.CORES
    assert sorted(far.opened) == sorted(many)
    assert not far.closed
    assert not any(far.waiting.values())


def test_a_thread_that_joins_late_adds_nothing_to_what_is_asked_for(
    source: LocalSource, store: Store, many: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one, alone until then, has asked for all that may be, and reads on when the second one has got on."""
    far = Far(source)
    full, joined = threading.Event(), threading.Event()
    monkeypatch.setattr(streams.Streams, "_light_limit", lambda self: 2 if full.is_set() else 1)
    opened, by = far.open, Counter[str]()

    def watched(file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        thread = threading.current_thread().name
        by[thread] += 1
        if far.together >= far.ahead and thread == next(iter(by)):
            full.set()
            assert joined.wait(20)
        if len(by) > 1 and by[thread] >= 4 and thread != next(iter(by)):
            joined.set()
        return opened(file, path, offset, length)

    far.open = watched  # type: ignore[method-assign]
    assert copy_all(far, store, "many")[1] == many
    assert joined.is_set()
    assert far.together == far.ahead


def test_a_process_that_waits_asks_by_all_its_threads_that_share_what_is_asked_for(
    source: LocalSource, store: Store, many: dict[str, bytes], busy: list[bool]
) -> None:
    busy[0] = False
    far = Far(source)
    meeting = threading.Barrier(far.streams)
    opened = far.open

    def first(file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        if threading.current_thread().name not in far.threads:
            meeting.wait(20)
        return opened(file, path, offset, length)

    far.open = first  # type: ignore[method-assign]
    assert copy_all(far, store, "many")[1] == many
    assert len(far.threads) == far.streams


def test_light_files_do_not_wait_for_a_thread_that_has_a_large_one(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever threads that is."""
    (files / "many").mkdir()
    (files / "many" / "large.bin").write_bytes(os.urandom(64 * KIB * 8))
    for number in range(40):
        (files / "many" / f"{number}.txt").write_bytes(b"x" * (number + 1))
    monkeypatch.setattr(streams, "CORES", 1)
    far = Far(source)
    given_out = threading.Event()
    opened = far.open

    def slow(file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        if file.path == "large.bin":
            assert given_out.wait(20)
        elif len(far.opened) > 20:
            given_out.set()
        return opened(file, path, offset, length)

    monkeypatch.setattr(far, "open", slow)
    monkeypatch.setattr(streams, "CORE_STREAMS", 4)
    assert len(copy_all(far, store, "many", piece=512 * KIB)[1]) == 41


def test_files_that_are_more_bytes_than_work_are_not_asked_for_ahead(
    source: LocalSource, store: Store, files: Path
) -> None:
    (files / "many").mkdir()
    for number in range(8):
        (files / "many" / str(number)).write_bytes(b"x" * streams.LIGHT)
    far = Far(source)
    assert len(copy_all(far, store, "many", chunk=1024 * KIB)[1]) == 8
    assert not far.begun


def test_no_more_bytes_are_asked_for_than_sockets_hold(
    source: LocalSource, store: Store, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "many").mkdir()
    for number in range(20):
        (files / "many" / str(number)).write_bytes(b"x" * 10 * KIB)
    monkeypatch.setattr(pipelining, "BYTES", 15 * KIB)
    far = Far(source)
    assert len(copy_all(far, store, "many")[1]) == 20
    assert far.most == 2


def test_a_refusal_is_waited_for_once_and_not_for_each_that_was_asked(
    source: LocalSource, store: Store, many: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PAUSES", (0.5,))
    far = Far(source)
    opened = far.open

    def refusing(file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        if far.most >= MOST and not far.closed and not far.refuses:
            far.refuses = 1
        return opened(file, path, offset, length)

    monkeypatch.setattr(far, "open", refusing)
    began = time.monotonic()
    assert copy_all(far, store, "many")[1] == many
    assert far.closed  # the others were given up
    assert len(far.opened) <= len(many) + 2 * streams.CORES
    assert time.monotonic() - began < 0.5 * MOST


def test_less_is_asked_for_after_a_refusal(source: LocalSource, many: dict[str, bytes]) -> None:
    far = Far(source)
    files = [file for file in source.plan("many").files if file.size]
    far.ahead = 8  # type: ignore[misc]
    ahead = Pipeline(far, "many")
    for _ in range(10):
        ahead.went_well()
    for file in files[:8]:
        assert ahead.has_room()
        ahead.ask(file)
    assert not ahead.has_room()
    first, body = ahead.take()
    body(0, first.size).close()
    ahead.went_wrong(SourceError("Slow down.", permanent=False))
    assert (first, far.closed) == (files[0], [file.path for file in files[1:8]])
    for file in files[1:8]:
        again, body = ahead.take()
        assert again == file
        assert body(0, file.size).read() == many[file.path]
        ahead.went_well()
    for file in files[8:12]:
        assert ahead.has_room()
        ahead.ask(file)
    assert not ahead.has_room()  # half as many as before
    ahead.close()
    assert not any(far.waiting.values())


def test_a_failure_of_one_that_is_alone_takes_nothing_back(source: LocalSource, many: dict[str, bytes]) -> None:
    ahead, (file, *more) = Pipeline(Far(source), "many"), source.plan("many").files
    ahead.ask(file)
    ahead.take()
    ahead.went_wrong(SourceError("Away.", permanent=False))
    for _ in range(4):
        ahead.went_well()
    for other in more[:4]:
        assert ahead.has_room()
        ahead.ask(other)


def test_a_server_that_cannot_be_reached_is_not_asked_for_more(
    source: LocalSource, store: Store, many: dict[str, bytes]
) -> None:
    far = Far(source, unreachable=True)
    assert copy_all(far, store, "many")[1] == many
    assert sorted(far.opened) == sorted(many)  # that is what tells and tries again
    assert not far.begun


def test_what_was_asked_for_is_given_up_when_the_round_ends(
    source: LocalSource, store: Store, many: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Far(source)
    opened = far.open

    def broken(file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        if far.most >= MOST:
            raise Cancelled("Enough.")
        return opened(file, path, offset, length)

    monkeypatch.setattr(far, "open", broken)
    with pytest.raises(Cancelled):
        copy_all(far, store, "many")
    assert far.closed
    assert not any(far.waiting.values())


def test_empty_files_are_not_asked_for(source: LocalSource, store: Store, files: Path) -> None:
    (files / "many").mkdir()
    for number in range(8):
        (files / "many" / str(number)).touch()
    far = Far(source)
    assert copy_all(far, store, "many")[1] == {str(number): b"" for number in range(8)}
    assert not far.begun
