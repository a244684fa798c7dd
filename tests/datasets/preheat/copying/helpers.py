"""What tests of copying share: small steps, and sources in which something happens midway."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest

from datasets.preheat.copying.copy import copy
from datasets.preheat.journal import key_of, read_facts
from datasets.preheat.store.trees import Store
from datasets.sources.base import Body
from datasets.sources.local.source import LocalSource
from datasets.specs import SourceFile, StoredFile

KIB = 1024
CHUNK, PIECE = 16 * KIB, 64 * KIB


def copy_all(
    source: LocalSource, store: Store, path: str, **options: Any
) -> tuple[tuple[StoredFile, ...], dict[str, bytes], int]:
    """Copies in small steps; the stored files, what is in the parts, and how many bytes moved."""
    plan = source.plan(path)
    moved = [0]
    options = {"progress": lambda seen: moved.append(seen.bytes_copied), "chunk": CHUNK, "piece": PIECE} | options
    with store.staging("1") as staging:
        stored = copy(plan, source, path, staging, **options)
        content = {file.path: staging.part(key_of(file)).read_bytes() for file in plan.files}
    return stored, content, moved[-1]


class Dying(BaseException):
    """Stands for the end of the process inside a stream."""


class Watched(LocalSource):
    """A source that does something at certain counts of bytes, over all that is read from it."""

    streams = 1

    def __init__(self, source: LocalSource, at: dict[int, Callable[[], None]]) -> None:
        self.__dict__.update(source.__dict__)
        self._at, self._read, self._lock = dict(at), 0, threading.Lock()

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        return Counted(super().open(file, path, offset, length), self.count)

    def count(self, count: int) -> None:
        with self._lock:
            self._read += count
            due = [self._at.pop(at) for at in sorted(self._at) if at <= self._read]
        for act in due:
            act()


class Counted(RawIOBase):
    def __init__(self, body: Body, count: Callable[[int], None]) -> None:
        self._body, self._count = body, count

    def readinto(self, buffer: Any, /) -> int | None:
        count = self._body.readinto(buffer)
        self._count(count or 0)
        return count

    def close(self) -> None:
        self._body.close()
        super().close()


def die() -> None:
    raise Dying


def big(files: Path, size: int = 1024 * KIB) -> bytes:
    (files / "big").mkdir(exist_ok=True)
    content = os.urandom(size)
    (files / "big" / "big.bin").write_bytes(content)
    return content


def store_pieces(store: Store) -> int:
    """Bytes of the pieces, and of those that came partly, that the journal of round 1 knows."""
    facts = read_facts(store.root / "staging" / "1" / "journal")
    partly = sum(count for pieces in facts.partly.values() for count, _ in pieces.values())
    return sum(len(pieces) for pieces in facts.pieces.values()) * PIECE + partly


def interrupted(source: LocalSource, store: Store) -> Path:
    """The part of a file of which 640 KiB came."""
    with pytest.raises(Dying):
        copy_all(Watched(source, {641 * KIB: die}), store, "big")
    return next((store.root / "staging" / "1" / "parts").iterdir())
