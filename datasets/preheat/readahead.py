"""Has the files of a tree read into memory while the server that wants them is starting. Linux; no Django.

Large files are written past the page cache, so they are on the disk only. A server of models is busy with itself for
its first seconds; in these the disk can work for it.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

STEP = 512 << 10
"""Bytes asked for at a time: of a longer range the kernel reads the beginning only."""
SHARE = 0.5
"""Share of the available memory. More would push out what was just read."""


def read_ahead(tree: Path) -> None:
    """Returns at once. Nothing depends on it: files that cannot be read ahead are read when they are needed."""
    threading.Thread(target=ask, args=(tree, int(available() * SHARE)), name="read-ahead", daemon=True).start()


def ask(tree: Path, room: int) -> None:
    """Asks for the files of `tree` that fit into `room` bytes, the largest first, and returns once most were read."""
    files = []
    for folder, _, names in os.walk(tree):
        for name in names:
            with suppress(OSError):
                files.append((os.lstat(f"{folder}/{name}").st_size, f"{folder}/{name}"))
    for size, path in sorted(files, reverse=True):
        if size > room:
            continue
        room -= size
        with suppress(OSError):
            _ask_for(path, size)


def _ask_for(path: str, size: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for offset in range(0, size, STEP):
            os.posix_fadvise(descriptor, offset, STEP, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)


def available() -> int:
    """Bytes of memory that could be used without taking any from programs; 0 where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0
