"""Files of this node that hold an unpacked archive, so that it is fetched and unpacked once for all who look into it.

With a folder, they are shared by the processes of the node, by the archive's address and version; whoever looks has
shown before, by asking the server for that version, that it may read it. They are removed an hour after their last use,
and earlier when room is needed. Without a folder, or a version, a file has no name and goes with its reader.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from console.files import take_lock
from datasets.errors import SourceError

KEEP = 3600.0
"""Seconds after the last use."""
LEAVE = 1 << 30
"""Bytes of the disk that are left to others."""
_LOOK = 64 << 20
"""Bytes between two looks at the room that is left."""
_POLL = 0.2

Fill = Callable[[], Iterator[bytes]]


class Spool:
    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def has(self, key: tuple[str, ...]) -> bool:
        return self._folder is not None and (self._folder / _name(key)).exists()

    def get(self, key: tuple[str, ...] | None, fill: Fill, beat: Callable[[], None]) -> io.FileIO:
        """The file of `key`, open; made from what `fill` gives if it is not there. None: one without a name.

        Calls `beat` now and then, which may raise to stop. Raises SourceError when there is no room.
        """
        if self._folder is None or key is None:
            with _explained():
                spool_file = tempfile.TemporaryFile(dir=self._made_folder(), buffering=0)  # noqa: SIM115 - it is given away
                assert isinstance(spool_file, io.FileIO)
                return _filled(spool_file, fill, beat, self._folder)
        folder = self._made_folder()
        assert folder is not None
        path = folder / _name(key)
        if (file := _open(path)) is not None:
            return file
        with _explained(), _locked(path.with_suffix(".lock"), beat):
            if (file := _open(path)) is not None:  # another process made it while this one waited
                return file
            sweep(folder)
            part = path.with_suffix(".part")
            try:
                descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                spool_file = _filled(io.FileIO(descriptor, "r+b"), fill, beat, folder)
                part.rename(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            return spool_file

    def _made_folder(self) -> Path | None:
        if self._folder is not None:
            with _explained():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder


def sweep(folder: Path, keep: float = KEEP) -> None:
    """Removes what nobody used for `keep` seconds. Whoever has it open goes on reading it."""
    before = time.time() - keep
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            # A part that is being written is younger: every write says so.
            if path.suffix != ".lock" and path.stat().st_mtime < before:
                path.unlink()


def _name(key: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(key).encode()).hexdigest()


def _open(path: Path) -> io.FileIO | None:
    try:
        file = io.FileIO(path, "rb")
    except FileNotFoundError:
        return None
    with suppress(OSError):
        os.utime(path)
    return file


def _filled(file: io.FileIO, fill: Fill, beat: Callable[[], None], folder: Path | None) -> io.FileIO:
    try:
        unseen = _LOOK
        for part in fill():
            unseen += len(part)
            if unseen >= _LOOK:
                unseen = 0
                _require_room(file, folder)
            view = memoryview(part)
            while view:
                view = view[file.write(view) :]
            beat()
    except BaseException:
        file.close()
        raise
    return file


def _require_room(file: io.FileIO, folder: Path | None) -> None:
    if _room(file) < LEAVE + _LOOK and folder is not None:
        sweep(folder, keep=60)
    if _room(file) < LEAVE + _LOOK:
        raise SourceError(
            "There is no room on this node to unpack the archive.",
            permanent=False,
            hint="Put the files themselves on the server, or make room.",
        )


def _room(file: io.FileIO) -> int:
    seen = os.statvfs(file.fileno())
    return seen.f_bavail * seen.f_frsize


@contextmanager
def _locked(path: Path, beat: Callable[[], None]) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not take_lock(descriptor):
            beat()
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"The archive cannot be unpacked on this node: {error.strerror}.", permanent=False) from error
