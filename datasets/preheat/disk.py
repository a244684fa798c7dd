"""What the operating system offers for writing much, and for not losing it. Linux; no Django."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path

from console import files
from console.errors import Unavailable

READ_ONLY = 0o444
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_BLOCK = 4096
"""Bytes that what is written past the page cache has to be a multiple of, in the file and in memory."""

LOCK_SECONDS = 60.0
"""Far longer than anything here holds a lock."""


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


def locked(path: Path, seconds: float = LOCK_SECONDS) -> AbstractContextManager[None]:
    """Hold a lock, between processes and between threads of one. Raises Unavailable when others do for so long."""
    busy = Unavailable(f"{path.parent.name} has been in use for {seconds:g} s.", hint="Try again later.")
    return files.locked(path, seconds, busy)


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


def open_past_cache(name: str) -> int:
    """A descriptor that writes to the disk itself (O_DIRECT); -1 where the file system has no such thing.

    Many gigabytes that nobody reads soon need neither the copying nor the memory of the page cache, which costs more
    than the disk where fresh memory is dear, as on a virtual machine.
    """
    with suppress(OSError):
        return os.open(name, os.O_WRONLY | os.O_DIRECT | os.O_NOFOLLOW | os.O_CLOEXEC)
    return -1


def write_past_cache(descriptor: int, data: memoryview, offset: int) -> int:
    """How many bytes of `data` were written there: whole blocks, or 0 where that cannot be.

    Only the beginning of `data` has to lie at the start of a page.
    """
    written, whole = 0, len(data) - len(data) % _BLOCK
    if descriptor < 0 or offset % _BLOCK:
        return 0
    try:
        while written < whole and not written % _BLOCK:
            written += os.pwrite(descriptor, data[written:whole], offset + written)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return written
