"""One request for several pieces that lie one behind the other. No Django.

A request costs a server of objects more than a few mebibytes do, and a network far away a round trip; a piece has to be
small, as all that waits for its digest is in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import Body

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST = 64 << 20
"""Bytes of one request at most."""


def run_of(streams: int, piece: int, memory: int) -> int:
    """How many pieces of `piece` bytes a request is for, so that those of all streams fit into `memory` bytes.

    Digests go from the front: when the first request is through, what the others have fetched meanwhile waits.
    """
    left = (memory - streams * piece) // max(1, streams - 1)
    return max(1, min(left, LONGEST) // piece)


class Request:
    """Bytes of the file `name` up to `end`; `body` is what they are read from. A context manager that closes it."""

    def __init__(self, name: str, opened: Callable[[int, int], Body], end: int) -> None:
        self._name, self._opened, self._end = name, opened, end
        self._at = -1
        self.body: Body | None = None

    def go_to(self, offset: int) -> None:
        """Goes on there: with the same body if it is there already, else with a new one. Raises SourceError."""
        if self.body is None or self._at != offset:
            self.close()
            self.body, self._at = self._opened(offset, self._end - offset), offset

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """At least one byte. Raises SourceChanged at an end that comes too early, SourceError for all else."""
        assert self.body is not None
        try:
            count = self.body.readinto(buffer)
        except (OSError, ValueError) as error:  # ValueError: closed by another thread
            raise SourceError(f"{self._name} could not be read on: {error}.", permanent=False) from error
        if not count:
            raise SourceChanged(self._name)
        self._at += count
        return count

    def close(self) -> None:
        body, self.body = self.body, None
        if body is not None:
            body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
