"""The wire format of protocol buffers, walked over a memory map: what is not needed is skipped, not read.

So a message of gigabytes takes milliseconds and no memory. See https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.formats import varints
from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
LONGEST_TEXT: Final = 4096
"""Bytes of a name that are read; a longer one is cut."""


@dataclass(frozen=True)
class Message:
    """The bytes of one message: `data[start:end]`. `what` is what the file should be, for errors."""

    data: mmap.mmap | bytes
    start: int
    end: int
    budget: Budget
    what: str = "protocol buffer"

    def __iter__(self) -> Iterator[tuple[int, int, Message]]:
        """(field number, value, message) of each field: the value of a number, or the bytes of everything else."""
        position = self.start
        while position < self.end:
            self.budget.step()
            tag, position = self._varint(position)
            kind = tag & 7
            if tag >> 3 == 0:  # as in a file of zeros, which would be millions of fields
                raise self._broken()
            if kind == VARINT:
                value, position = self._varint(position)
                yield tag >> 3, value, self.part(position, position)
                continue
            length = {FIXED64: 8, FIXED32: 4}.get(kind, -1)
            if kind == BYTES:
                length, position = self._varint(position)
            if length < 0 or position + length > self.end:
                raise self._broken()
            yield tag >> 3, 0, self.part(position, position + length)
            position += length

    def part(self, start: int, end: int) -> Message:
        return Message(self.data, start, end, self.budget, self.what)

    def inside(self, field: int) -> Message | None:
        """The first field of that number."""
        return next((part for number, _, part in self if number == field), None)

    def number(self, field: int, default: int = 0) -> int:
        return next((value for number, value, _ in self if number == field), default)

    def text(self, field: int) -> str:
        part = self.inside(field)
        return part.as_text() if part else ""

    def as_text(self) -> str:
        return bytes(self.data[self.start : min(self.end, self.start + LONGEST_TEXT)]).decode("utf-8", "replace")

    def packed(self) -> Iterator[int]:
        """The numbers of a packed repeated field."""
        position = self.start
        while position < self.end:
            self.budget.step()
            value, position = self._varint(position)
            yield value

    def _varint(self, position: int) -> tuple[int, int]:
        try:
            return varints.decode(self.data, position, self.end)
        except ValueError:
            raise self._broken() from None

    def _broken(self) -> Unreadable:
        return Unreadable(f"it is not an {self.what} file, or is cut short")


@contextmanager
def opened(path: Path, budget: Budget, what: str) -> Iterator[Message]:
    """The whole file as one message. Raises OSError, and Unreadable for an empty one."""
    if not path.is_file():
        raise Unreadable("it is no file")
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise Unreadable("the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield Message(data, 0, len(data), budget, what)
