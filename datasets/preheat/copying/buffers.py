"""Memory for the pieces of large files: those under way, and those that wait for their turn to be digested. No Django.

A piece that arrived stays in memory until the digest of its file has come to it, so it need not be read back. When
memory is short, because a piece in front of it is late, it is given up: it is on the disk by then.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable

MEMORY = 192 << 20
"""Bytes that the pieces of one round take at most."""
SPARE = 2
"""Buffers that are left for pieces that a digest waits for."""
PATIENCE = 2.0
"""Seconds that others wait for digests to catch up before they take the memory of a piece that waits for its own."""


LOOK = 0.1


class Buffers:
    """`count` buffers of `size` bytes, each at the start of a page. Threads may call its methods.

    Who takes or claims one gives it back or keeps it. With more buffers than threads there is always one to be had.
    """

    def __init__(self, count: int, size: int) -> None:
        self._size, self._unmade = size, count
        self._free: list[memoryview] = []
        self._kept: dict[tuple[str, int], memoryview] = {}
        self._changed = threading.Condition()

    def take(self, alive: Callable[[], None], urgent: Callable[[], bool] = lambda: False) -> memoryview:
        """A buffer to fill. `urgent`: whether a digest waits for that piece. `alive` raises to stop waiting."""

        def there_is() -> bool:
            free = len(self._free) + self._unmade
            return free > SPARE or (urgent() and (free > 0 or bool(self._kept)))

        waited = 0.0
        with self._changed:
            while not self._changed.wait_for(there_is, LOOK):
                alive()
                waited += LOOK
                if waited >= PATIENCE and self._kept:
                    break
            if self._free:
                return self._free.pop()  # the last one given back, which is most likely in a cache
            if self._unmade:
                self._unmade -= 1
                return memoryview(mmap.mmap(-1, self._size))
            # That of the piece which would be digested last of all.
            return self._kept.pop(max(self._kept, key=lambda piece: piece[1]))

    def keep(self, key: str, number: int, buffer: memoryview) -> None:
        """The buffer holds this piece, which is on the disk too."""
        with self._changed:
            self._kept[key, number] = buffer

    def claim(self, key: str, number: int) -> memoryview | None:
        """The buffer that holds this piece; None when it was given up, or never was in memory."""
        with self._changed:
            return self._kept.pop((key, number), None)

    def give_back(self, buffer: memoryview) -> None:
        with self._changed:
            self._free.append(buffer)
            self._changed.notify_all()

    def wake(self) -> None:
        """Another piece has become urgent."""
        with self._changed:
            self._changed.notify_all()
