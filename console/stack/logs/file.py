"""A log of bounded size that takes what it can: a disk that is full, or broken, never harms the writer.

Standard library only: supervisord loads this, and little else of ours.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class LogFile:
    """`x.log`, with up to `backups` older ones beside it: `x.log.1` is the newest of them.

    What cannot be written is dropped and counted. The next write that succeeds says in the log how much is missing.
    """

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        self._path, self._max_bytes, self._backups = path, max_bytes, backups
        self._descriptor = -1
        self._size = 0
        self._dropped = 0
        self._whole = True
        self._reason = ""
        with suppress(OSError):
            self._open()

    def write(self, content: bytes) -> None:
        try:
            self._open()
            if self._dropped:
                self._put(self._note())
                self._dropped = 0
        except OSError as error:
            self._drop(len(content), error)
            return
        try:
            self._put(content)
        except OSError as error:
            self._drop(len(content) - self._written, error)
        if 0 < self._max_bytes <= self._size:
            self._rotate()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):  # some file systems report a write that failed only here
                os.close(descriptor)

    def remove(self) -> None:
        self.close()
        with suppress(OSError):
            self._path.unlink()

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _put(self, content: bytes) -> None:
        """Raises OSError; `_written` then says how much of `content` is in the file."""
        self._written = 0
        while self._written < len(content):
            count = os.write(self._descriptor, memoryview(content)[self._written :])
            self._written += count
            self._size += count
            self._whole = content[self._written - 1 : self._written] == b"\n"

    def _note(self) -> bytes:
        start = "" if self._whole else "\n"
        return f"{start}[{self._dropped} bytes of this log are missing: {self._reason}]\n".encode()

    def _drop(self, count: int, error: OSError) -> None:
        self._dropped += count
        self._reason = error.strerror or str(error)

    def _rotate(self) -> None:
        """Without backups, or when a rename fails, the file is emptied: its size stays bounded whatever happens."""
        try:
            for number in range(self._backups, 0, -1):
                source = self._numbered(number - 1)
                if source.exists():
                    source.replace(self._numbered(number))
        except OSError:
            pass
        if not self._backups or self._path.exists():
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        self.close()
        with suppress(OSError):
            self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
