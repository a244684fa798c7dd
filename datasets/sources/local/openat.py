"""Opens names below a directory without ever leaving it, also while somebody swaps links underneath.

Every step is taken relative to an open directory and never follows a link by itself: a link is read, and its target
walked the same way from where it lies. `..` goes back along our own steps, so nothing can lead above the root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import deque
from pathlib import Path, PurePosixPath

from datasets.errors import SourceError

MAX_LINKS = 40
MAX_DEPTH = 64
KINDS = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}
_COMMON = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY = _COMMON | os.O_DIRECTORY
FILE = _COMMON | os.O_NONBLOCK  # a fifo put in the place of a file must not make the open wait


class LinkOutside(SourceError):
    """Whether there is anything at its end is not looked at."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is a symbolic link that leads outside the dataset.",
            hint="Put the file itself there, or make a dataset of a folder that holds both.",
            refused="link",
        )


class LinkLoop(SourceError):
    def __init__(self, path: str) -> None:
        super().__init__(f"{path} goes through too many symbolic links, or in a circle.", refused="link")


class SpecialFile(SourceError):
    """`what`: "a socket", "a pipe" or "a device"."""

    def __init__(self, path: str, mode: int) -> None:
        self.what = KINDS.get(stat.S_IFMT(mode), "neither a file nor a folder")
        super().__init__(f"{path} is {self.what}, neither a file nor a folder.", hint="Choose something else.")


def open_root(directory: Path, allowed: tuple[Path, ...]) -> tuple[int, PurePosixPath]:
    """A descriptor of `directory`, which must lie in one of `allowed` once links are resolved, and its real path.

    Walks down from the allowed root, so that a link swapped in after the check is refused by the kernel.
    Raises OSError, or SourceError when it lies elsewhere.
    """
    # Not strict: whether something outside the allowed roots exists is not told. Walking down says what is missing.
    real = directory.resolve()
    for root in allowed:
        base = root.resolve()
        if real.is_relative_to(base):
            break
    else:
        raise SourceError(f"{directory} is not inside a directory that datasets may use.")
    here = os.open(base, DIRECTORY)
    for part in real.relative_to(base).parts:
        try:
            deeper = os.open(part, DIRECTORY, dir_fd=here)
        finally:
            os.close(here)
        here = deeper
    return here, PurePosixPath(real)


def open_beneath(root: int, real: PurePosixPath, path: str) -> int:
    """A descriptor of the regular file or directory `path` below the directory open as `root`, whose path is `real`.

    The caller closes it. Raises SourceError for links that lead outside and for special files; OSError otherwise.
    """
    steps = [os.dup(root)]
    pending = deque(_parts(path))
    links = 0
    try:
        while pending:
            name = pending.popleft()
            if name == "..":  # from a link's target; `clean_path` refuses it in what people ask for
                if len(steps) == 1:
                    raise LinkOutside(path)
                os.close(steps.pop())
                continue
            info = os.stat(name, dir_fd=steps[-1], follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                links += 1
                if links > MAX_LINKS:
                    raise LinkLoop(path)
                target = os.readlink(name, dir_fd=steps[-1])
                if target.startswith("/"):
                    target = _below(PurePosixPath(target), real, path)
                    while len(steps) > 1:
                        os.close(steps.pop())
                pending.extendleft(reversed(_parts(target)))
            else:
                steps.append(_open_step(name, steps[-1], info, path, last=not pending))
        return steps.pop()
    finally:
        for descriptor in steps:
            os.close(descriptor)


def keys_above(root: int, folder: int) -> list[tuple[int, int]]:
    """(device, inode) of `folder` and of all above it, up to the folder open as `root`, below which it lies.

    Raises OSError when somebody moves them meanwhile.
    """
    top = os.fstat(root)
    keys: list[tuple[int, int]] = []
    here = os.dup(folder)
    try:
        while True:
            info = os.fstat(here)
            keys.append((info.st_dev, info.st_ino))
            if (info.st_dev, info.st_ino) == (top.st_dev, top.st_ino):
                return keys
            if len(keys) > 2 * MAX_DEPTH:
                raise OSError(errno.ELOOP, "too many folders above")
            above = os.open("..", DIRECTORY, dir_fd=here)
            os.close(here)
            here = above
    finally:
        os.close(here)


def open_plainly(folder: int, path: str) -> int:
    """A descriptor of the regular file `path` below an open folder, when no step of the way is a link.

    Much cheaper than `open_beneath`. Raises OSError for anything else, also when the kernel cannot promise it.
    """
    raw = path.encode()
    descriptor: int = _libc.syscall(_OPENAT2, folder, raw, ctypes.byref(_NO_LINKS), ctypes.sizeof(_NO_LINKS))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


class _How(ctypes.Structure):
    """`struct open_how` of openat2(2), which Python does not offer."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x04, 0x08
_NO_LINKS = _How(FILE, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH)
_libc = ctypes.CDLL(None, use_errno=True)


def _open_step(name: str, parent: int, info: os.stat_result, path: str, *, last: bool) -> int:
    if stat.S_ISDIR(info.st_mode):
        return os.open(name, DIRECTORY, dir_fd=parent)
    if not stat.S_ISREG(info.st_mode):
        raise SpecialFile(path, info.st_mode)
    if not last:
        raise NotADirectoryError(f"{name} is a file")
    opened = os.open(name, FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise SourceError(f"{path} was replaced while it was opened.", permanent=False)
    return opened


def _below(target: PurePosixPath, real: PurePosixPath, path: str) -> str:
    if not target.is_relative_to(real):
        raise LinkOutside(path)
    return str(target.relative_to(real))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]
