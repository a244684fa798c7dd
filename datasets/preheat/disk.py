"""What the operating system offers for writing much, and for not losing it. Linux; no Django."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@cache
def boot_id() -> str:
    """Another one after each start of the machine. What was written since is in the page cache, flushed or not."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def flush(folder: Path) -> None:
    """Brings the file system that `folder` lies on to the disk: once, rather than each of thousands of files."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "the file system cannot be flushed")
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Makes a rename in `folder` last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Lets two directories change names in one step. False when the file system, or the C library, cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    if (code := ctypes.get_errno()) in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock, between processes and between threads of one. A thread that takes it twice waits for ever."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process that was forked meanwhile has this descriptor too
        os.close(descriptor)


def reserve(descriptor: int, size: int) -> None:
    """Takes the blocks of a file before it is written. Raises OSError (ENOSPC) when there are too few."""
    if size == 0:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        os.ftruncate(descriptor, size)
