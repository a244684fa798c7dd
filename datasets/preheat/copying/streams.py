"""The threads that fetch pieces, and what they share. Started and watched by copy.py. No Django.

Each stream takes the next piece of the first file that has one, fetches it with retries, and digests what lies in
front. The first error that no retry helps against stops all of them.

Three sizes of files: large ones are fetched in pieces (assembly.py); small ones, of at most `chunk` bytes, in one
buffer (small_files.py); light ones, below LIGHT, are small ones that are requested ahead.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, TypeVar

from datasets.errors import SourceChanged, SourceDamaged, SourceError
from datasets.preheat.copying import small_files
from datasets.preheat.copying.assembly import Assembly, Filling
from datasets.preheat.copying.buffers import MEMORY, SPARE, Buffers
from datasets.preheat.copying.pipelining import Pipeline
from datasets.preheat.copying.requests import Request, run_of
from datasets.preheat.copying.speed import BUSY_LOOK, Interpreter, Limit, StreamState
from datasets.preheat.journal import Staging
from datasets.sources.base import Body, Source
from datasets.specs import SourceFile

Result = TypeVar("Result")
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try of a piece."""
CORES = os.cpu_count() or 1
CORE_STREAMS = 4
"""Streams for each core at most: more of them only wait for each other, and for their turn to take digests."""
LIGHT = 256 << 10
"""Bytes below which a file is more work than bytes. Those of this machine are one thread's."""
CORE_ALWAYS = 2
"""Streams for each core that fetch such files when the interpreter is busy too: more are for servers far away. One of
sources that can be asked ahead: further threads would only pass the interpreter to one another."""
FLUSHER = "preheat-flush"
LONGEST = 60.0
"""Seconds that a stream waits when the server asks for more patience; then the round has its own pauses."""


class Stopped(Exception):
    """Another stream failed, or the round is over: not an error of its own."""


class Streams:
    """A context manager: leaving it ends every thread. `files` are fetched in their order: the largest first."""

    def __init__(
        self,
        files: Sequence[SourceFile],
        source: Source,
        path: str,
        staging: Staging,
        limit: Limit,
        *,
        chunk: int,
        piece: int,
    ) -> None:
        self._source, self._path, self._staging, self._limit = source, path, staging, limit
        self._chunk, self._piece = chunk, piece
        self._files = list(reversed(files))
        self._lock = threading.Condition()
        self._stop, self._over = threading.Event(), threading.Event()
        self._active: list[Assembly] = []
        self._requests: dict[threading.Thread, Request] = {}
        self._underway: dict[threading.Thread, tuple[Assembly, int, int]] = {}
        """The assembly, the piece's number, and how many bytes of it came."""
        self._small: dict[threading.Thread, tuple[SourceFile, int]] = {}
        """Small files under way, and the bytes that came."""
        self._sums: dict[str, str] = {}
        self._left = len(files)
        self._moved = self._sealed_bytes = 0
        self._error: BaseException | None = None
        self._untaken = sum(-(-file.size // piece) for file in files if file.size > chunk)
        """Pieces of large files."""
        jobs = self._untaken + sum(file.size <= chunk for file in files)
        self._count = min(source.streams, CORE_STREAMS * CORES, jobs)
        self._interpreter = Interpreter()
        # Streams that fetch light files, and the requests that each of them has open.
        self._light = 0
        self._light_requests: dict[threading.Thread, int] = {}
        self._always = CORES if source.ahead > 1 else CORE_ALWAYS * CORES
        self._buffers = Buffers(max(MEMORY // piece, self._count + SPARE + 1), piece)
        self._longest = run_of(self._count, piece, MEMORY)
        self._threads = [
            threading.Thread(target=self._run, name=f"preheat-{number}", daemon=True) for number in range(self._count)
        ]

    def __enter__(self) -> Self:
        if not self._left:
            self._over.set()
            return self
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
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

    def state(self) -> StreamState:
        with self._lock:
            moving = []
            for assembly in self._active:
                pieces = {number: came for whose, number, came in self._underway.values() if whose is assembly}
                moving.append((assembly.file.path, assembly.file.size, assembly.bytes_there(pieces)))
            moving += [(file.path, file.size, came) for file, came in self._small.values()]
            copied_bytes = self._sealed_bytes + sum(count for _, _, count in moving)
            return StreamState(copied_bytes, self._moved, len(self._sums), tuple(moving))

    def flush_beside(self) -> None:
        """Flush to the disk in a thread of its own."""
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
        pipeline = Pipeline(self._source, self._path)
        try:
            while (job := self._next()) is not None:
                if isinstance(job, SourceFile):
                    if self._is_light(job):
                        self._fetch_light(job, pipeline, buffer)
                    else:
                        self._fetch_small(job, pipeline.opening(job), buffer)
                else:
                    self._fetch_pieces(*job, buffer)
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
            bodies = [request.body for request in self._requests.values()]
            self._lock.notify_all()
        for body in bodies:
            # A plain file's number could be another file's by the time that its reader wakes up; it never waits long.
            if body is not None and not isinstance(body, io.FileIO):
                body.close()
        self._source.abort()
        self._over.set()

    def _alive(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _next(self) -> tuple[Assembly, list[int]] | SourceFile | None:
        """Pieces to fetch, or none of a file that only needs to be digested; a small file; None when all is done."""
        with self._lock:
            while True:
                self._alive()
                for assembly in self._active:
                    if run := self._take(assembly):
                        return assembly, run
                if self._files and self._is_light(self._files[-1]):  # then all others are, as the largest come first
                    if self._light >= self._light_limit():
                        self._lock.wait(BUSY_LOOK)
                        continue
                    self._light += 1
                    return self._files.pop()
                if self._files and self._files[-1].size <= self._chunk:
                    return self._files.pop()
                if self._files:
                    assembly = Assembly(self._files.pop(), self._staging, self._piece, self._buffers)
                    self._active.append(assembly)
                    return assembly, self._take(assembly)
                if not self._left:
                    return None
                self._lock.wait()  # a piece under way may turn out damaged, and have to be fetched again

    def _is_light(self, file: SourceFile) -> bool:
        return file.size < LIGHT and file.size <= self._chunk

    def _light_limit(self) -> int:
        """How many streams may fetch light files at the moment."""
        if not self._source.connects:
            return 1  # there is nothing to wait for
        return min(self._count, self._always) if self._interpreter.busy() else self._count

    def _take(self, assembly: Assembly) -> list[int]:
        # The less there is left the less at a time, so that all streams end together.
        run = assembly.take(max(1, min(self._longest, self._untaken // (2 * self._count))))
        self._untaken -= len(run)
        return run

    def _fetch_pieces(self, assembly: Assembly, run: list[int], buffer: memoryview) -> None:
        end = sum(assembly.span(run[-1])) if run else 0
        with Request(assembly.file.path, partial(self._open_piece, assembly), end) as request:
            for number in run:
                self._fetch_piece(assembly, number, request, buffer)
                if number != run[-1]:
                    self._digest(assembly, buffer)
        self._digest(assembly, buffer)
        if not assembly.finishes():
            return
        try:
            self._source.confirm(assembly.file, self._path)
            sha256 = assembly.seal()
        except SourceError:
            self._staging.forget(assembly.key)
            raise
        with self._lock:
            self._active.remove(assembly)
            self._finish(assembly.file, sha256)

    def _finish(self, file: SourceFile, sha256: str) -> None:
        self._sums[file.path] = sha256
        self._sealed_bytes += file.size
        self._left -= 1
        if not self._left:
            self._over.set()
            self._lock.notify_all()

    def _fetch_light(self, first: SourceFile, pipeline: Pipeline, buffer: memoryview) -> None:
        """Fetch `first`, then others. Several requests are sent before the first answer is read."""
        try:
            file, body = first, pipeline.opening(first)
            while True:
                self._fetch_small(file, body, buffer, pipeline.went_wrong)
                pipeline.went_well()
                while pipeline.has_room() and (more := self._next_light(len(pipeline))) is not None:
                    pipeline.ask(more)
                if not pipeline:
                    return
                file, body = pipeline.take()
        finally:
            pipeline.close()
            with self._lock:
                self._light -= 1
                self._light_requests.pop(threading.current_thread(), None)
                self._lock.notify()

    def _next_light(self, requested: int) -> SourceFile | None:
        """The next light file for a thread with `requested` open requests; None when it has enough, or others take it.

        A thread's share shrinks when another one joins, but its open requests stay: so the sum is bounded as well.
        """
        with self._lock:
            self._alive()
            thread, most = threading.current_thread(), self._source.ahead
            self._light_requests[thread] = requested
            if not self._files or requested >= most // self._light or self._light > self._light_limit():
                return None
            if sum(self._light_requests.values()) >= most:
                return None
            self._light_requests[thread] += 1
            return self._files.pop()

    def _fetch_small(
        self,
        file: SourceFile,
        body: Callable[[int, int], Body],
        buffer: memoryview,
        failed: Callable[[SourceError], None] = lambda _: None,
    ) -> None:
        sha256 = self._retry(lambda: self._receive(file, body, buffer), failed)
        self._source.confirm(file, self._path)
        small_files.keep(file, buffer[: file.size], sha256, self._staging)
        with self._lock:
            self._small.pop(threading.current_thread(), None)
            self._finish(file, sha256)

    def _receive(self, file: SourceFile, body: Callable[[int, int], Body], buffer: memoryview) -> str:
        thread = threading.current_thread()
        came = 0

        def moved(count: int) -> None:
            nonlocal came
            self._alive()
            came += count
            with self._lock:
                self._small[thread] = file, came
            self._count_moved(count)

        with Request(file.path, body, file.size) as request:
            with self._lock:
                self._small[thread] = file, 0
            if file.size:
                self._go_to(request, 0)
            return small_files.receive(file, request, buffer, moved)

    def _digest(self, assembly: Assembly, buffer: memoryview) -> None:
        assembly.advance(buffer, self._alive)
        with self._lock:
            self._lock.notify()

    def _fetch_piece(self, assembly: Assembly, number: int, request: Request, buffer: memoryview) -> None:
        filling = assembly.begin(number, self._alive)
        try:
            assembly.go_on(filling)
            self._fill(assembly, filling, request, buffer)
        finally:
            assembly.drop(filling)

    def _fill(self, assembly: Assembly, filling: Filling, request: Request, buffer: memoryview) -> None:
        def attempt() -> None:
            if not assembly.file.ranged:
                assembly.restart(filling)
            self._attempt(assembly, filling, request, buffer)

        def failed(error: SourceError) -> None:
            if isinstance(error, SourceChanged):
                self._staging.forget(assembly.key)
            elif isinstance(error, SourceDamaged):
                assembly.restart(filling)

        self._retry(attempt, failed)

    def _retry(self, attempt: Callable[[], Result], failed: Callable[[SourceError], None] = lambda _: None) -> Result:
        """The result of `attempt`, retried after errors that may pass. `failed` gets each error of the source."""
        for pause in (*PAUSES, None):
            try:
                return attempt()
            except SourceError as error:
                self._alive()  # a body that was closed to stop looks like an error of the server
                failed(error)
                if isinstance(error, SourceChanged) or error.permanent or pause is None:
                    raise
                self._stop.wait(max(pause, min(error.wait, LONGEST)))
        raise AssertionError

    def _count_moved(self, count: int) -> None:
        with self._lock:
            self._moved += count
        if pause := self._limit.pause(count):
            self._stop.wait(pause)

    def _attempt(self, assembly: Assembly, filling: Filling, request: Request, buffer: memoryview) -> None:
        thread = threading.current_thread()

        def moved(count: int) -> None:
            self._alive()
            with self._lock:
                self._underway[thread] = assembly, filling.number, filling.done
            self._count_moved(count)

        try:
            self._go_to(request, assembly.span(filling.number)[0] + filling.done)
            assembly.fill(filling, request, buffer, moved)
        except BaseException as error:
            request.close()
            if isinstance(error, SourceDamaged):
                self._staging.forget(assembly.key, filling.number)  # nothing of it is to be gone on with
            elif isinstance(error, SourceError | Stopped):
                assembly.leave(filling)
            raise
        finally:
            with self._lock:
                self._underway.pop(thread, None)

    def _go_to(self, request: Request, offset: int) -> None:
        request.go_to(offset)
        with self._lock:
            self._requests[threading.current_thread()] = request
        self._alive()

    def _open_piece(self, assembly: Assembly, offset: int, length: int) -> Body:
        file = assembly.file
        if assembly.pieces == 1 and not offset:
            return self._source.open(file, self._path)
        return self._source.open(file, self._path, offset, length)
