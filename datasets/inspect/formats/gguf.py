"""The header of a GGUF file: which model it is. See https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable

MAGIC: Final = b"GGUF"
SCALARS: Final = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
STRING, ARRAY = 8, 9
MOST_KEYS: Final = 10_000
LONGEST_KEY: Final = 65_535
LONGEST_TEXT: Final = 512
"""Longest value that is kept; longer ones (a chat template, a vocabulary) are skipped."""
PIECE: Final = 1 << 20
FILE_TYPES: Final = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    32: "BF16",
}


@dataclass(frozen=True)
class Gguf:
    version: int
    tensors: int
    values: dict[str, Any]
    """Short texts and numbers by key, such as general.architecture."""

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def facts(self) -> list[tuple[str, str]]:
        kind = self.values.get("general.file_type")
        length = self.values.get(f"{self.architecture}.context_length")
        rows = [
            ("Name", str(self.values.get("general.name", ""))),
            ("Architecture", self.architecture),
            ("Quantisation", FILE_TYPES.get(kind, "") if isinstance(kind, int) else ""),
            ("Context", f"{length} tokens" if length else ""),
            ("Tensors", str(self.tensors)),
        ]
        return [(label, text) for label, text in rows if text]


def read(path: Path, budget: Budget | None = None) -> Gguf:
    """Raises OSError and Unreadable."""
    with path.open("rb") as file:
        return _Reader(file, path.stat().st_size, budget or Budget()).read()


class _Reader:
    def __init__(self, file: IO[bytes], size: int, budget: Budget) -> None:
        self.file, self.size, self.budget = file, size, budget
        self.order = "<"

    def read(self) -> Gguf:
        if self.file.read(4) != MAGIC:
            raise Unreadable("it is not a GGUF file")
        version = int(self.number("I"))
        if version & 0xFFFF == 0:  # written by a big-endian machine
            self.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in (2, 3):
            raise Unreadable(f"it is of version {version} of GGUF, and 2 and 3 are known")
        tensors, keys = int(self.number("Q")), int(self.number("Q"))
        if keys > MOST_KEYS:
            raise Unreadable(f"it says that it has {keys} values, which cannot be")
        values = {}
        for _ in range(keys):
            key = self.text(LONGEST_KEY)
            value = self.value(int(self.number("I")))
            if value is not None:
                values[key] = value
        return Gguf(version, tensors, values)

    def value(self, kind: int) -> Any:
        """None for what is not kept."""
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == STRING:
            length = int(self.number("Q"))
            if length > LONGEST_TEXT:
                return self.skip(length)
            return self.exactly(length).decode("utf-8", "replace")
        if kind != ARRAY:
            raise Unreadable(f"it has a value of the unknown type {kind}")
        return self.array(int(self.number("I")), int(self.number("Q")))

    def array(self, kind: int, count: int) -> None:
        if kind in SCALARS:
            return self.skip(count * struct.calcsize(f"={SCALARS[kind]}"))
        if kind != STRING:  # arrays of arrays are allowed, and nobody writes them
            raise Unreadable("it has an array that cannot be read over")
        if count > self.size:
            raise Unreadable("it is cut short")
        for _ in range(count):
            self.skip(int(self.number("Q")))
        return None

    def text(self, most: int) -> str:
        length = int(self.number("Q"))
        if length > most:
            raise Unreadable("it has a name that is too long")
        return self.exactly(length).decode("utf-8", "replace")

    def number(self, code: str) -> Any:
        width = struct.calcsize(f"={code}")
        return struct.unpack(f"{self.order}{code}", self.exactly(width))[0]

    def exactly(self, length: int) -> bytes:
        self.budget.step()
        content = self.file.read(length)
        if len(content) < length:
            raise Unreadable("it is cut short")
        return content

    def skip(self, length: int) -> None:
        self.budget.step()
        if length > self.size - self.file.tell():
            raise Unreadable("it is cut short")
        if length < PIECE:
            self.file.read(length)  # within the buffer: faster than seeking
        else:
            self.file.seek(length, 1)
