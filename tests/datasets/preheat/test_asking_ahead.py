"""Light files are asked for some time before their answers are read, where a source can do that."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from datasets.errors import Cancelled, SourceError
from datasets.preheat import streams
from datasets.preheat.store import Store
from datasets.sources.base import Begun, Body
from datasets.sources.local import LocalSource
from datasets.specs import SourceFile
from tests.datasets.preheat.copying import KIB, Watched, copy_all

AHEAD, MANY = 5, 60


class Far(Watched):
    """Notes what is asked for, and what becomes of it. `fails` asks in vain so often for each file."""

    connects: ClassVar[bool] = True
    streams: ClassVar[int] = 8
    ahead: ClassVar[int] = AHEAD

    def __init__(self, source: LocalSource, fails: int = 0) -> None:
        super().__init__(source, {})
        self.waiting: Counter[str] = Counter()
        self.begun: list[str] = []
        self.closed: list[str] = []
        self.most, self._fails, self._lock = 0, fails, threading.Lock()

    def begin(self, file: SourceFile, path: str) -> Begun:
        thread = threading.current_thread().name
        with self._lock:
            self.begun.append(file.path)
            if self._fails:
                self._fails -= 1
                raise SourceError("The server is away.", permanent=False)
            self.waiting[thread] += 1
            self.most = max(self.most, self.waiting[thread])

        def body() -> Body:
            with self._lock:
                self.waiting[thread] -= 1
            return self.open(file, path)

        def close() -> None:
            with self._lock:
                self.waiting[thread] -= 1
                self.closed.append(file.path)

        return Begun(body, close)


@pytest.fixture
def many(files: Path) -> dict[str, bytes]:
    contents = {f"{number:02}.bin": os.urandom(number + 1) for number in range(MANY)}
    (files / "many").mkdir()
    for name, content in contents.items():
        (files / "many" / name).write_bytes(content)
    return contents


def test_each_thread_asks_for_as_many_as_the_source_says(
    source: LocalSource, store: Store, many: dict[str, bytes]
) -> None:
    far = Far(source)
    assert copy_all(far, store, "many")[1] == many
    assert far.most == AHEAD
    assert sorted(far.begun) == sorted(many)
    assert len(far.waiting) <= (os.cpu_count() or 1)
    assert not any(far.waiting.values())
    assert not far.closed


def test_files_that_are_more_bytes_than_work_are_not_asked_for_ahead(
    source: LocalSource, store: Store, files: Path
) -> None:
    (files / "many").mkdir()
    for number in range(8):
        (files / "many" / str(number)).write_bytes(b"x" * streams.LIGHT)
    far = Far(source)
    assert len(copy_all(far, store, "many", chunk=1024 * KIB)[1]) == 8
    assert far.most == 1


def test_asking_in_vain_is_told_and_tried_again_when_its_turn_comes(
    source: LocalSource, store: Store, many: dict[str, bytes]
) -> None:
    far = Far(source, fails=MANY)
    assert copy_all(far, store, "many")[1] == many
    assert far.most == 0
    assert sorted(far.begun) == sorted(many)  # once each: opening them is what tries again


def test_what_was_asked_for_is_given_up_when_the_round_ends(
    source: LocalSource, store: Store, many: dict[str, bytes]
) -> None:
    far = Far(source)

    def broken(file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        raise Cancelled("Enough.")

    far.open = broken  # type: ignore[method-assign]
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
