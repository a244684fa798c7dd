"""One file of a plan on its way to this disk: pieces arrive in any order, the digest follows from the front.

A file of one piece is digested while it passes. Of a larger one each piece comes into memory as a whole, with a quick
checksum (XXH3) of what arrived, is written past the page cache, and stays in memory until the SHA-256 has come to it. A
piece that is no longer there, or came in a process that was killed, is read back from the part and compared. No Django.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import xxhash

from datasets.digests import Digest, agrees, digest_for
from datasets.errors import SourceDamaged
from datasets.preheat.copying.buffers import Buffers
from datasets.preheat.copying.requests import Request
from datasets.preheat.disk import READ_ONLY, open_past_cache, reserve, write_past_cache
from datasets.preheat.journal import Staging, key_of
from datasets.specs import SourceFile

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
SMALL = 1 << 20
"""Bytes up to which the blocks of a file are not reserved: file by file that costs more than it tells."""


@dataclass
class Filling:
    """A piece under way: `done` bytes of it came and are digested, so a broken connection need not cost them.

    They are in the piece's `memory`, or already written without one.
    """

    number: int
    digests: list[Digest]
    memory: memoryview | None = None
    done: int = 0


class Assembly:
    """The part of one file. Threads `take` pieces, `begin` and `fill` each, and `advance`; who `finishes`, `seal`s."""

    def __init__(self, file: SourceFile, staging: Staging, piece: int, buffers: Buffers) -> None:
        self.file, self.staging, self.key, self._buffers = file, staging, key_of(file), buffers
        self._piece = piece if file.ranged and file.size > piece else max(1, file.size)
        self.pieces = max(1, -(-file.size // self._piece))
        self._lock, self._digesting = threading.Lock(), threading.Lock()
        self._front, self._sealing = 0, False
        self._sha256: Digest = hashlib.sha256()
        self._check = digest_for(file.check, file.size)
        self._piece_digests = {
            number: xxh3 for number, xxh3 in staging.facts.pieces.get(self.key, {}).items() if number < self.pieces
        }
        self._descriptor, self._past_cache = self._open()
        self._waiting = deque(number for number in range(self.pieces) if number not in self._piece_digests)

    def _open(self) -> tuple[int, int]:
        name = self.staging.part_name(self.key)
        try:
            # Read-only for everybody from the start: what this descriptor may do was said when it was opened.
            descriptor = os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL, READ_ONLY)
        except FileExistsError:
            descriptor = _reopened(name)
        past_cache = -1
        try:
            if self.pieces > 1:
                os.fchmod(descriptor, 0o600)
                past_cache = open_past_cache(name)
            info = os.fstat(descriptor)
            if info.st_mode & 0o777 != READ_ONLY:
                os.fchmod(descriptor, READ_ONLY)
            if info.st_size != self.file.size:
                self._piece_digests.clear()
                if info.st_size:
                    os.ftruncate(descriptor, 0)
                if self.pieces > 1 or self.file.size > SMALL:
                    reserve(descriptor, self.file.size)
        except OSError:
            _close(descriptor, past_cache)
            raise
        return descriptor, past_cache

    def close(self) -> None:
        _close(self._descriptor, self._past_cache)
        self._descriptor = self._past_cache = -1

    def bytes_there(self, underway: Mapping[int, int]) -> int:
        """Bytes on disk; `underway` has how many came of the pieces that somebody fills just now."""
        with self._lock:
            whole = sum(self.span(number)[1] for number in self._piece_digests)
            return whole + sum(count for number, count in underway.items() if number not in self._piece_digests)

    def span(self, number: int) -> tuple[int, int]:
        """Offset and length of a piece, in bytes."""
        offset = number * self._piece
        return offset, min(self._piece, self.file.size - offset)

    def take(self, most: int) -> list[int]:
        """The next pieces that nobody has, one behind the other, for one request; [] when there are none just now."""
        with self._lock:
            taken: list[int] = []
            while self._waiting and len(taken) < most and (not taken or self._waiting[0] == taken[-1] + 1):
                taken.append(self._waiting.popleft())
            return taken

    def begin(self, number: int, alive: Callable[[], None]) -> Filling:
        """A piece to fill, with memory of its own in a file of several. `alive` raises to stop waiting for that."""
        memory = self._buffers.take(alive, lambda: number == self._front) if self.pieces > 1 else None
        return Filling(number, self._digests(), memory)

    def restart(self, filling: Filling) -> None:
        """What came of the piece does not count."""
        filling.digests, filling.done = self._digests(), 0

    def _digests(self) -> list[Digest]:
        if self.pieces > 1:
            return [xxhash.xxh3_64()]
        check = digest_for(self.file.check, self.file.size)
        return [hashlib.sha256()] if check is None else [hashlib.sha256(), check]

    def go_on(self, filling: Filling) -> None:
        """Takes what an attempt before this one wrote of the piece for filled, if that is still there."""
        count, xxh3 = self.staging.facts.partly.get(self.key, {}).get(filling.number, (0, ""))
        if filling.memory is None or not 0 < count < self.span(filling.number)[1]:
            return
        offset = self.span(filling.number)[0]
        while filling.done < count and (
            more := os.preadv(self._descriptor, [filling.memory[filling.done : count]], offset + filling.done)
        ):
            filling.done += more
        filling.digests[0].update(filling.memory[: filling.done])
        if filling.digests[0].hexdigest() != xxh3:
            self.restart(filling)

    def leave(self, filling: Filling) -> None:
        """Writes and notes what there is of a piece that something ended. That of a small file simply comes again."""
        if filling.memory is None or not filling.done:
            return
        self._put(filling)
        xxh3 = filling.digests[0].hexdigest()
        if filling.done < self.span(filling.number)[1]:
            self.staging.partly(self.key, filling.number, filling.done, xxh3)
        else:
            self.staging.reached(self.key, filling.number, xxh3)

    def fill(self, filling: Filling, request: Request, buffer: memoryview, moved: Callable[[int], None]) -> None:
        """Fetches what is missing of a piece; `request` is there. `moved` gets each count, and raises to stop.

        Raises SourceError, or OSError when it is the disk that fails.
        """
        offset, length = self.span(filling.number)
        while filling.done < length:
            step = min(len(buffer), length - filling.done)  # few enough to be in a cache still when they are digested
            into = buffer[:step] if filling.memory is None else filling.memory[filling.done : filling.done + step]
            data = into[: request.readinto(into)]
            for digest in filling.digests:
                digest.update(data)
            if filling.memory is None:
                _write(self._descriptor, data, offset + filling.done)
            filling.done += len(data)
            moved(len(data))
        if filling.memory is not None:
            self._put(filling)
            self.staging.reached(self.key, filling.number, filling.digests[0].hexdigest())
            self._buffers.keep(self.key, filling.number, filling.memory)
            filling.memory = None
        else:
            self._sha256, self._check = filling.digests[0], filling.digests[1] if len(filling.digests) > 1 else None
        with self._lock:
            self._piece_digests[filling.number] = filling.digests[0].hexdigest()
            self._front = 1 if self.pieces == 1 else self._front

    def _put(self, filling: Filling) -> None:
        """Writes what is in memory."""
        assert filling.memory is not None
        offset, data = self.span(filling.number)[0], filling.memory[: filling.done]
        written = write_past_cache(self._past_cache, data, offset)
        _write(self._descriptor, data[written:], offset + written)

    def drop(self, filling: Filling) -> None:
        """Gives the memory of a piece back that was not filled to its end."""
        if filling.memory is not None:
            self._buffers.give_back(filling.memory)
            filling.memory = None

    def advance(self, buffer: memoryview, alive: Callable[[], None]) -> None:
        """Digests what lies in front of the first gap; a piece that reads back differently is to be fetched again.

        One thread at a time does it; another that comes meanwhile returns at once.
        """
        while self._ready() and self._digesting.acquire(blocking=False):
            try:
                while self._ready():
                    if self._digest(self._front, buffer, alive):
                        self._front += 1
                        self._buffers.wake()
                    else:
                        self._start_over(self._front)
            finally:
                self._digesting.release()

    def _ready(self) -> bool:
        with self._lock:
            return self._front in self._piece_digests

    def finishes(self) -> bool:
        """True once, for the thread that is to `seal`: everything is there and digested."""
        with self._lock:
            if self._front < self.pieces or self._sealing:
                return False
            self._sealing = True
            return True

    def seal(self) -> str:
        """Notes the complete file and gives its SHA-256. Raises SourceDamaged when the source says another digest."""
        if self._check is not None and not agrees(self.file.check, self._check):
            raise SourceDamaged(self.file.path)
        self.close()
        self.staging.finished(self.key, self._sha256.hexdigest())
        return self._sha256.hexdigest()

    def _digest(self, number: int, buffer: memoryview, alive: Callable[[], None]) -> bool:
        if (memory := self._buffers.claim(self.key, number)) is None:
            return self._digest_from_disk(number, buffer, alive)
        try:
            alive()
            for digest in (self._sha256, self._check):
                if digest is not None:
                    digest.update(memory[: self.span(number)[1]])
        finally:
            self._buffers.give_back(memory)
        return True

    def _digest_from_disk(self, number: int, buffer: memoryview, alive: Callable[[], None]) -> bool:
        offset, length = self.span(number)
        quick = xxhash.xxh3_64()
        # Copies: what turns out to be damaged must not have been counted.
        sha256, check = self._sha256.copy(), self._check.copy() if self._check is not None else None
        done = 0
        while done < length:
            alive()
            data = buffer[: os.preadv(self._descriptor, [buffer[: length - done]], offset + done)]
            if not data:
                return False
            quick.update(data)
            sha256.update(data)
            if check is not None:
                check.update(data)
            done += len(data)
        if quick.hexdigest() != self._piece_digests[number]:
            return False
        self._sha256, self._check = sha256, check
        return True

    def _start_over(self, number: int) -> None:
        self.staging.forget(self.key, number)
        with self._lock:
            del self._piece_digests[number]
            self._waiting.appendleft(number)


def _reopened(name: str) -> int:
    """A descriptor of a part that is there already; of a new file when others hold that one too: it is no part."""
    path = Path(name)
    if path.lstat().st_nlink > 1:
        path.unlink()
        return os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL, READ_ONLY)
    path.chmod(0o600)
    return os.open(name, _FLAGS)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count
