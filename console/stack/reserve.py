"""Room set aside in the files that must go on growing when the disk is full: nobody else can take it.

Linux gives a file blocks beyond its end (fallocate with KEEP_SIZE); later appends use those. So for as
long as the reserve lasts the database takes changes, Redis takes messages and the gateway's access log loses no line,
while every other write on the disk fails. On file systems without this (Btrfs and ZFS promise nothing when they copy on
write) there is no reserve, and what pages, logs and metering do then holds alone.

Only for a process that never opens the database: closing a file drops every POSIX lock that the process has on it, and
SQLite's are of that kind. supervisord's is one (supervise.py).
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from console.home import Home
from console.stack.programs import redis_directory
from services.gateway.envoy import names

MOST = 16 << 20
"""Bytes for each file."""
SHARE = 64
"""No more than this part of the disk for each of them."""
KEEP_SIZE = 1
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def keep(home: Home) -> int:
    """Fills up what was used of each reserve; bytes that are set aside now. Nothing here raises."""
    with suppress(OSError):
        each = min(MOST, shutil.disk_usage(home.root).total // SHARE)
        return sum(_keep(path, each) for path in files(home))
    return 0


def files(home: Home) -> Iterable[Path]:
    yield home.database
    yield home.database.with_name(f"{home.database.name}-wal")
    yield home.gateway / names.ACCESS_LOG
    yield from redis_directory(home).glob("appendonlydir/*.incr.aof")


def _keep(path: Path, amount: int) -> int:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0  # not made yet, or on another machine
    try:
        left = _left(descriptor)
        if left < amount // 2:
            _fallocate(descriptor, KEEP_SIZE, os.fstat(descriptor).st_size, amount)
            left = _left(descriptor)
        return left
    finally:
        os.close(descriptor)


def _left(descriptor: int) -> int:
    info = os.fstat(descriptor)
    return max(0, info.st_blocks * 512 - info.st_size)
