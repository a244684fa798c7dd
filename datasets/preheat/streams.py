"""The threads that fetch pieces, and what they share. Started and watched by copy.py. No Django.

Each stream takes the next piece of the first file that has one, fetches it with a few tries, and digests what lies in
front. The first error that no try can mend stops all of them.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from datasets.errors import SourceChanged, SourceDamaged, SourceError
from datasets.preheat.assembly import Assembly, Filling
from datasets.preheat.journal import Staging
from datasets.preheat.speed import Limit
from datasets.sources.base import Body, Source
from datasets.specs import SourceFile

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try of a piece."""
CORE_STREAMS = 4
"""Streams for each core at most: more of them only wait for each other, and for their turn to take digests."""
FLUSHER = "preheat-flush"
LONGEST = 60.0
"""Seconds that a stream waits when the server asks for more patience; then the round has its own pauses."""


class Stopped(Exception):
    """Another stream failed, or the round is over: not an error of its own."""


@dataclass(frozen=True)
class Seen:
    """`there`: bytes on disk, of these streams' files. `moved`: bytes that came. `moving`: (path, size, bytes done)."""

    there: int
    moved: int
    files: int
    moving: tuple[tuple[str, int, int], ...]


class Streams:
    """A context manager: leaving it ends every thread. `files` in the order in which they are to be fetched."""

    def __init__(
        self, files: Sequence[SourceFile], source: Source, path: str, staging: Staging, limit: Limit, *, chunk: int,
        piece: int,
    ) -> None:
        self._source, self._path, self._staging, self._limit = source, path, staging, limit
        self._chunk, self._piece = chunk, piece
        self._files = list(reversed(files))
        self._lock = threading.Condition()
        self._stop, self._over = threading.Event(), threading.Event()
        self._active: list[Assembly] = []
        self._bodies: dict[threading.Thread, Body] = {}
        self._underway: dict[threading.Thread, tuple[Assembly, int, int]] = {}
        """The assembly, the piece's number, and how many bytes of it came."""
        self._sums: dict[str, str] = {}
        self._left = len(files)
        self._moved = self._sealed_bytes = 0
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"preheat-{number}", daemon=True)
            for number in range(min(
                source.streams, CORE_STREAMS * (os.cpu_count() or 1), sum(max(1, -(-f.size // piece)) for f in files),
            ))
        ]

    def __enter__(self) -> Self:
        if not self._left:
            self._over.set()
            return self
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._halt()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        for assembly in self._active:
            assembly.close()

    def wait(self, seconds: float) -> bool:
        """Whether it is over: everything is there, or something failed."""
        return self._over.wait(seconds)

    def result(self) -> dict[str, str]:
        """path -> SHA-256, once it is over. Raises what failed."""
        if self._error is not None:
            raise self._error
        return self._sums

    def seen(self) -> Seen:
        with self._lock:
            moving = []
            for assembly in self._active:
                pieces = {number: came for whose, number, came in self._underway.values() if whose is assembly}
                moving.append((assembly.file.path, assembly.file.size, assembly.bytes_there(pieces)))
            there = self._sealed_bytes + sum(count for _, _, count in moving)
            return Seen(there, self._moved, len(self._sums), tuple(moving))

    def flush_beside(self) -> None:
        """Brings what is there to the disk, without holding anybody up."""
        if any(thread.name == FLUSHER and thread.is_alive() for thread in self._threads):
            return  # two at a time would each end what the other one has not brought there yet
        flusher = threading.Thread(target=self._flush, name=FLUSHER, daemon=True)
        self._threads.append(flusher)
        flusher.start()

    def _flush(self) -> None:
        try:
            self._staging.flush()
        except OSError as error:
            self._fail(error)

    def _run(self) -> None:
        buffer = memoryview(bytearray(self._chunk))
        try:
            while (job := self._next()) is not None:
                self._do(*job, buffer)
        except Stopped:
            pass
        except BaseException as error:  # whatever it is, the watching thread raises it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None and not self._stop.is_set():
                self._error = error
        self._halt()

    def _halt(self) -> None:
        self._stop.set()
        with self._lock:
            bodies = list(self._bodies.values())
            self._lock.notify_all()
        for body in bodies:
            # A plain file's number could be another file's by the time that its reader wakes up; it never waits long.
            if not isinstance(body, io.FileIO):
                body.close()
        self._source.abort()
        self._over.set()

    def _alive(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _next(self) -> tuple[Assembly, int | None] | None:
        """A piece to fetch, or a file that only needs to be digested; None when there is no more to do."""
        with self._lock:
            while True:
                self._alive()
                for assembly in self._active:
                    if (number := assembly.take()) is not None:
                        return assembly, number
                if self._files:
                    assembly = Assembly(self._files.pop(), self._staging, self._piece)
                    self._active.append(assembly)
                    return assembly, assembly.take()
                if not self._left:
                    return None
                self._lock.wait()  # a piece under way may turn out damaged, and have to be fetched again

    def _do(self, assembly: Assembly, number: int | None, buffer: memoryview) -> None:
        if number is not None:
            self._fetch(assembly, number, buffer)
        assembly.advance(buffer, self._alive)
        if not assembly.finishes():
            with self._lock:
                self._lock.notify()
            return
        try:
            self._source.confirm(assembly.file, self._path)
            sha256 = assembly.seal()
        except SourceError:
            self._staging.forget(assembly.key)
            raise
        with self._lock:
            self._active.remove(assembly)
            self._sums[assembly.file.path] = sha256
            self._sealed_bytes += assembly.file.size
            self._left -= 1
            if not self._left:
                self._over.set()
                self._lock.notify_all()

    def _fetch(self, assembly: Assembly, number: int, buffer: memoryview) -> None:
        filling = assembly.go_on(number)
        for pause in (*PAUSES, None):
            if not assembly.file.ranged:
                filling = assembly.begin(number)
            try:
                return self._once(assembly, filling, buffer)
            except SourceChanged:
                self._alive()  # a body that was closed to stop looks short too
                self._staging.forget(assembly.key)
                raise
            except SourceError as error:
                self._alive()
                if error.permanent or pause is None:
                    raise
                if isinstance(error, SourceDamaged):
                    filling = assembly.begin(number)
                self._stop.wait(max(pause, min(error.wait, LONGEST)))

    def _once(self, assembly: Assembly, filling: Filling, buffer: memoryview) -> None:
        thread = threading.current_thread()
        offset, length = assembly.span(filling.number)

        def moved(count: int) -> None:
            self._alive()
            with self._lock:
                self._moved += count
                self._underway[thread] = assembly, filling.number, filling.done
            if pause := self._limit.pause(count):
                self._stop.wait(pause)

        try:
            with self._opened(assembly, offset + filling.done, length - filling.done) as body:
                with self._lock:
                    self._bodies[thread] = body
                self._alive()
                assembly.fill(filling, body, buffer, moved)
        except SourceDamaged:
            self._staging.forget(assembly.key, filling.number)  # nothing of it is to be gone on with
            raise
        except (SourceError, Stopped):
            assembly.leave(filling)
            raise
        finally:
            with self._lock:
                self._bodies.pop(thread, None)
                self._underway.pop(thread, None)

    def _opened(self, assembly: Assembly, offset: int, length: int) -> Body:
        file = assembly.file
        if not file.size:
            return io.FileIO("/dev/null")
        if assembly.pieces == 1 and not offset:
            return self._source.open(file, self._path)
        return self._source.open(file, self._path, offset, length)
