"""Light files that one stream has requested before it reads their answers. No Django.

An answer is on its way while the one before it is digested and written, so one thread is enough to keep a server busy.
How many are asked for grows by one with each answer that is good. When one is not, or does not come, all others are
given up and asked for one by one later: a server that has too much to do, or few threads and one for each connection,
is not to refuse each of them in turn. From then on at most half as many are asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from datasets.errors import SourceError
from datasets.sources.base import Body, PendingFile, Source
from datasets.specs import SourceFile

BYTES = 1 << 20
"""Bytes of files that are asked for ahead: what the buffers of sockets hold without the server having to wait."""


class Pipeline:
    """Open requests of one thread, oldest first."""

    def __init__(self, source: Source, path: str) -> None:
        self._source, self._path, self._most = source, path, source.ahead
        self._requests: deque[tuple[SourceFile, PendingFile | None]] = deque()
        self._window = 1

    def __len__(self) -> int:
        return len(self._requests)

    def has_room(self) -> bool:
        """Whether to send one more request. Not after one that failed: each may take long."""
        if not self._requests:
            return True
        requested_bytes = sum(file.size for file, _ in self._requests)
        return len(self._requests) < self._window and requested_bytes < BYTES and self._requests[-1][1] is not None

    def ask(self, file: SourceFile) -> None:
        """Request a file. An error is raised later, when the file is opened."""
        pending = None
        if file.size and self._window > 1:
            try:
                pending = self._source.begin(file, self._path)
            except SourceError:
                self._slower()
        self._requests.append((file, pending))

    def take(self) -> tuple[SourceFile, Callable[[int, int], Body]]:
        """The oldest file, and its opener: the first call uses the open request, later calls send a new one."""
        file, pending = self._requests.popleft()
        return file, self.opening(file, pending)

    def opening(self, file: SourceFile, pending: PendingFile | None = None) -> Callable[[int, int], Body]:
        def opened(_offset: int, _length: int) -> Body:
            nonlocal pending
            now, pending = pending, None
            return self._source.open(file, self._path) if now is None else now.body()

        return opened

    def went_well(self) -> None:
        self._window = min(self._most, self._window + 1)

    def went_wrong(self, _error: SourceError) -> None:
        if any(pending for _, pending in self._requests):
            self._slower()
        self._give_up()
        self._requests = deque((file, None) for file, _ in self._requests)

    def close(self) -> None:
        self._give_up()
        self._requests.clear()

    def _give_up(self) -> None:
        for _, pending in self._requests:
            if pending is not None:
                pending.close()

    def _slower(self) -> None:
        self._most = max(1, self._window // 2)
        self._window = 1
