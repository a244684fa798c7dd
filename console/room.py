"""Whether the disk under CONSOLE_HOME takes what the console writes. Asked of the disk itself, by a trial write."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from console.errors import NoRoom

FULL = 16 << 20
"""With fewer bytes left the disk counts as full: the next write of the database or a log may be larger than that."""
CURRENT = 1.0
"""Seconds for which an answer is used again."""
TRIAL = os.urandom(4096)
_lock = threading.Lock()
_last: tuple[float, Room] | None = None


@dataclass(frozen=True)
class Room:
    folder: Path
    free: int
    total: int
    error: int = 0
    """errno of the trial write, 0 when it succeeded."""

    @property
    def problem(self) -> NoRoom | None:
        """The condition that pages, API and the health check show while it lasts."""
        node = settings.NODE_NAME
        if not self.error and self.free >= FULL:
            return None
        if self.error == errno.EROFS:
            return NoRoom(f"The disk of {node} is read-only.", hint=f"Make {self.folder} writable again.")
        if self.error == errno.EDQUOT:
            return NoRoom(f"The disk quota on {node} is used up.", hint=self._hint)
        if self.error not in {0, errno.ENOSPC}:
            message = f"The disk of {node} cannot be written: {os.strerror(self.error)}."
            return NoRoom(message, hint=f"Check the disk of {self.folder}.")
        if self.free >= FULL:
            return NoRoom(f"The disk of {node} has no room for another file.", hint=f"Delete files in {self.folder}.")
        amount = f"{size_text(self.free)} of {size_text(self.total)} are free"
        return NoRoom(f"The disk of {node} is full: {amount}.", hint=self._hint)

    @property
    def _hint(self) -> str:
        return f"Free space in {self.folder}. What waits goes on by itself then."


def measure(folder: Path) -> Room:
    """Asks now. `folder` need not exist yet: its nearest ancestor counts."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        usage = shutil.disk_usage(existing)
        free, total = usage.free, usage.total
    except OSError as error:
        return Room(folder, 0, 0, error.errno or errno.EIO)
    try:
        with tempfile.TemporaryFile(dir=existing, buffering=0) as file:
            file.write(TRIAL)
    except OSError as error:
        return Room(folder, free, total, error.errno or errno.EIO)
    return Room(folder, free, total)


def now() -> Room:
    """Disk state of CONSOLE_HOME, cached for one second."""
    global _last
    with _lock:
        if _last is None or time.monotonic() - _last[0] > CURRENT:
            _last = (time.monotonic(), measure(settings.HOME.root))
        return _last[1]


def size_text(count: float) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"
