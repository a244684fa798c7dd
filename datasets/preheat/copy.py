"""Copies a plan into a staging directory, resumable to the journal interval. No Django; publishing is the store's.

Digests are taken while the bytes pass. A file under way is flushed and noted every INTERVAL bytes, so a killed
worker's successor copies at most that much again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import PreheatError, SourceChanged
from datasets.preheat.journal import Staging, key_of
from datasets.sizes import size_text
from datasets.sources.base import Source
from datasets.specs import Plan, SourceFile, StoredFile

CHUNK = 1 << 20
INTERVAL = 64 << 20
"""Bytes between two flushes inside a file: what a kill costs at most. Half of it made copying twice as slow."""
MARGIN = 64 << 20
"""Bytes of the disk that a round never takes: logs and the database live there too."""


@dataclass(frozen=True)
class Progress:
    """`bytes_done` counts what is complete or on disk, `bytes_copied` what this call really moved."""

    bytes_done: int
    files_done: int
    bytes_copied: int


def copy(
    plan: Plan,
    source: Source,
    path: str,
    staging: Staging,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    chunk: int = CHUNK,
    interval: int = INTERVAL,
) -> tuple[StoredFile, ...]:
    """Brings every file of the plan into `staging.parts` and returns their digests, in the plan's order.

    `check` is called for every chunk and every file, also while an earlier part is read again, and raises to stop.
    Raises SourceChanged when a file is another version by now (plan again, and call again: the rest is kept),
    SourceError when it cannot be read, PreheatError when the disk is full.
    """
    staging.keep_only({key_of(file) for file in plan.files})
    require_space(plan, staging)
    run = _Run(source, path, staging, progress, check, chunk, interval)
    with disk_full_explained(plan.total_bytes, staging.directory):
        return tuple(run.file(file) for file in plan.files)


def require_space(plan: Plan, staging: Staging) -> None:
    """Raises PreheatError when what is still missing does not fit on the disk."""
    there = sum(part.stat().st_size for part in staging.parts.iterdir())
    need = max(0, plan.total_bytes - there)
    free = shutil.disk_usage(staging.directory).free - MARGIN
    if need > free:
        raise _no_space(need, max(0, free))


@contextmanager
def disk_full_explained(need: int, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _no_space(need, shutil.disk_usage(directory).free) from error
        raise PreheatError(f"The store of this node cannot be written: {error.strerror}.", permanent=False) from error


def _no_space(need: int, free: int) -> PreheatError:
    return PreheatError(
        f"Not enough disk space on this node: {size_text(need)} are needed, {size_text(free)} are free.",
        hint="Delete models that are not used any more, or ask an administrator for a larger disk.",
    )


class _Run:
    def __init__(
        self, source: Source, path: str, staging: Staging, progress: Callable[[Progress], None],
        check: Callable[[], None], chunk: int, interval: int,
    ) -> None:
        self.source, self.path, self.staging = source, path, staging
        self.progress, self.check, self.chunk, self.interval = progress, check, chunk, interval
        self.complete = self.files = self.copied = 0

    def file(self, file: SourceFile) -> StoredFile:
        self.check()
        key = key_of(file)
        sha256 = self.staging.facts.done.get(key)
        if sha256 is not None and _size(self.staging.part(key)) != file.size:
            self.staging.forget(key)
            sha256 = None
        if sha256 is None:
            sha256 = self._copy(file, key)
        self.complete += file.size
        self.files += 1
        self._tell(0)
        return StoredFile(file.path, file.size, sha256)

    def _copy(self, file: SourceFile, key: str) -> str:
        descriptor = os.open(self.staging.part(key), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            offset, digest = self._resume(key, descriptor)
            os.ftruncate(descriptor, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
            noted = offset
            with self.source.open(file, self.path, offset) as stream:
                while offset < file.size:
                    self.check()
                    data = stream.read(min(self.chunk, file.size - offset)) or b""
                    if not data:
                        raise SourceChanged(file.path)  # shorter than it was
                    _write(descriptor, data)
                    digest.update(data)
                    offset += len(data)
                    self.copied += len(data)
                    if offset - noted >= self.interval and offset < file.size:
                        self._note(file, key, descriptor, offset, digest.hexdigest())
                        noted = offset
                    self._tell(offset)
            self.source.confirm(file, self.path)
        except SourceChanged:
            self.staging.forget(key)
            raise
        finally:
            os.close(descriptor)
        self.staging.finished(key, digest.hexdigest())
        return digest.hexdigest()

    def _note(self, file: SourceFile, key: str, descriptor: int, offset: int, sha256: str) -> None:
        self.source.confirm(file, self.path)
        os.fsync(descriptor)
        self.staging.reached(key, offset, sha256)

    def _resume(self, key: str, descriptor: int) -> tuple[int, hashlib._Hash]:
        """How many bytes of the part are good, and their digest so far; none when they are not what was noted."""
        count, expected = self.staging.facts.at.get(key, (0, ""))
        digest = hashlib.sha256()
        os.lseek(descriptor, 0, os.SEEK_SET)
        left = count
        while left:
            self.check()
            data = os.read(descriptor, min(self.chunk, left))
            if not data:
                break
            digest.update(data)
            left -= len(data)
        if count and (left or digest.hexdigest() != expected):
            return 0, hashlib.sha256()
        return count, digest

    def _tell(self, within: int) -> None:
        self.progress(Progress(self.complete + within, self.files, self.copied))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


class Speed:
    """Bytes per second over the last few seconds, from readings of a growing count."""

    def __init__(self, window: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window, clock
        self._readings: list[tuple[float, int]] = []

    def reading(self, count: int) -> float:
        now = self._clock()
        self._readings.append((now, count))
        while len(self._readings) > 2 and self._readings[0][0] < now - self._window:
            self._readings.pop(0)
        then, before = self._readings[0]
        elapsed = now - then
        return (count - before) / elapsed if elapsed > 0 else 0.0
