"""The working directory of a replica. Its model may put anything there, so no step of a path here follows a link."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NO_FOLDER: Final = (errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True)
class RunDir:
    """Names are relative, without `..`. Raises OSError when the disk does not take it."""

    path: Path

    def create(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Replace the file as one step, and only when its content differs."""
        with self._folder_of(name) as (folder, file):
            if _content(folder, file, len(content) + 1) == content:
                return
            temporary = _temporary(file)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
            with _gone_if_it_fails(folder, temporary):
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(content)
                self._put(folder, temporary, file)

    def link(self, name: str, target: Path) -> None:
        """A symbolic link in the place of whatever was there."""
        with self._folder_of(name) as (folder, file):
            with suppress(OSError):
                if os.readlink(file, dir_fd=folder) == str(target):
                    return
            temporary = _temporary(file)
            os.symlink(target, temporary, dir_fd=folder)
            with _gone_if_it_fails(folder, temporary):
                self._put(folder, temporary, file)

    def remove(self, name: str) -> None:
        """A file or a link; a folder stays."""
        with self._folder_of(name) as (folder, file), suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            os.unlink(file, dir_fd=folder)

    def _put(self, folder: int, temporary: str, file: str) -> None:
        """In the place of whatever was there. A folder is moved aside and goes with the run directory: who walks into
        it to delete it could be made to wait for ever, by a pipe that takes the place of a folder meanwhile.
        """
        try:
            os.rename(temporary, file, src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError:
            os.rename(file, self.path / f".aside.{secrets.token_hex(8)}", src_dir_fd=folder)
            os.rename(temporary, file, src_dir_fd=folder, dst_dir_fd=folder)

    @contextmanager
    def _folder_of(self, name: str) -> Iterator[tuple[int, str]]:
        """The folder that the last part of `name` is in, and that part. It is there afterwards, and is a folder."""
        *parts, last = PurePosixPath(name).parts
        folder = os.open(self.path, FOLDER)
        try:
            for part in parts:
                inner = _open_folder(folder, part)
                os.close(folder)
                folder = inner
            yield folder, last
        finally:
            os.close(folder)


def _open_folder(parent: int, name: str) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in NO_FOLDER:
            raise
        os.unlink(name, dir_fd=parent)
    os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, FOLDER, dir_fd=parent)


def _content(folder: int, name: str, limit: int) -> bytes | None:
    """Its first `limit` bytes; None for anything but a file."""
    try:
        # Without O_NONBLOCK, a pipe in its place would be waited for.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.read(descriptor, limit)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _temporary(name: str) -> str:
    """A name that is free, and that nobody knows before."""
    return f".{name}.{secrets.token_hex(8)}.tmp"


@contextmanager
def _gone_if_it_fails(folder: int, temporary: str) -> Iterator[None]:
    try:
        yield
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
