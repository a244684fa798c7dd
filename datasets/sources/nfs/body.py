"""The bytes of a file of an export: small ones are there already, large ones come through patience."""

from __future__ import annotations

import os
import threading
from io import RawIOBase
from typing import TYPE_CHECKING

from datasets.errors import SourceError
from datasets.sources.base import Body
from datasets.sources.nfs.timeouts import Job, Patience

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ROOM = 1 << 20


def whole(data: bytes) -> Body:
    return _Whole(data)


def content(opened: Body, name: str, patience: Patience) -> Body:
    """`opened` is a file of the operating system, and is closed here."""
    descriptor = os.dup(opened.fileno())
    opened.close()
    return _Content(descriptor, name, patience)


class _Whole(RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise SourceError("The file was closed while it was read.", permanent=False)
        room = memoryview(buffer).cast("B")
        count = min(len(room), len(self._left))
        room[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class _Content(RawIOBase):
    """Reads into memory of its own: a call that was left behind may still write there when the buffer is another's."""

    def __init__(self, descriptor: int, name: str, patience: Patience) -> None:
        self._descriptor, self._name, self._patience = descriptor, name, patience
        self._room = memoryview(bytearray(ROOM))
        self._guard = threading.Lock()
        self._job: Job[int] | None = None
        self._over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        room = self._room[: len(view)]
        with self._guard:
            if self._over:
                raise self._closed()
            job = self._job = self._patience.start(lambda: os.readv(self._descriptor, [room]), self._drop)
        if not job.wait(self._patience.seconds) and job.leave():
            closed, self._over = self._over, True  # whoever left, the descriptor goes with the call
            raise self._closed() if closed else self._patience.away()
        with self._guard:
            self._job = None
            if self._over:
                os.close(self._descriptor)
                raise self._closed()
        try:
            count = job.outcome()
        except OSError as error:
            raise SourceError(f"{self._name} cannot be read: {error.strerror}.", permanent=False) from error
        view[:count] = room[:count]
        return count

    def close(self) -> None:
        with self._guard:
            if not self._over:
                self._over = True
                if self._job is None:
                    os.close(self._descriptor)
                else:
                    self._job.leave()  # if it is over just now, its reader sees `_over`, and closes
        super().close()

    def _drop(self, _count: int | None) -> None:
        os.close(self._descriptor)

    def _closed(self) -> SourceError:
        return SourceError(f"{self._name} was closed while it was read.", permanent=False)
