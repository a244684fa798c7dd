"""Everything below a folder of this machine, for a plan; and what keeps a name from being a part of one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from datasets import leftovers
from datasets.errors import SourceError
from datasets.sources.base import MAX_FILES, is_text, too_many_files
from datasets.sources.local.openat import (
    DIRECTORY,
    MAX_DEPTH,
    LinkLoop,
    LinkOutside,
    SpecialFile,
    keys_above,
    open_beneath,
)
from datasets.sources.paths import joined
from datasets.specs import LeftOut, SourceFile

FORBIDDEN: Final = "not readable for the user that the console runs as"
_IN_ITSELF: Final = "a link to a parent folder"
_LONGEST: Final = 200
Version = Callable[[os.stat_result], str]


@dataclass(frozen=True)
class DatasetRoot:
    """A dataset's directory, open as `root`; `real` is its path without links."""

    root: int
    real: PurePosixPath


class Vanished(Exception):
    """A name was there when its folder was listed and is gone now: what is listed next says what came of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Walk:
    """Collects `files`, empty folders and what is left out below `start`, a folder at `path` of the dataset.

    Links inside the dataset are followed.
    """

    def __init__(self, dataset_root: DatasetRoot, path: str, version: Version, beat: Callable[[], None]) -> None:
        self._dataset_root, self._path, self._version, self._beat = dataset_root, path, version, beat
        self.files: list[SourceFile] = []
        self.empty: list[str] = []
        self.left_out: list[LeftOut] = []

    def run(self, start: int) -> None:
        """Raises SourceError for what cannot be left out, Vanished, and OSError."""
        above = keys_above(self._dataset_root.root, start)
        self._folder(start, "", (*reversed(above[1:]),), 0)

    def _folder(self, descriptor: int, prefix: str, above: tuple[tuple[int, int], ...], depth: int) -> None:
        info = os.fstat(descriptor)
        if depth >= MAX_DEPTH:
            raise SourceError(f"{prefix} is more than {MAX_DEPTH} folders deep.")
        self._beat()
        with _readable(prefix), os.scandir(descriptor) as directory_entries:
            items = sorted(directory_entries, key=lambda item: item.name)
        taken = len(self.files) + len(self.empty)
        for item in items:
            self._item(item, descriptor, joined(prefix, item.name), (*above, (info.st_dev, info.st_ino)), depth)
        if prefix and taken == len(self.files) + len(self.empty):
            self.empty.append(prefix)

    def _item(
        self, item: os.DirEntry[str], parent: int, name: str, above: tuple[tuple[int, int], ...], depth: int
    ) -> None:
        if not is_text(name):
            raise SourceError(f"{shown(name)} is not a name in UTF-8.", hint="Rename it, or choose another folder.")
        if reason := leftovers.reason_for_name(item.name):
            self._leave(name, reason)
            return
        with _vanishing(name), _readable(name):
            if item.is_symlink():
                self._link(item, parent, name, above, depth)
            elif item.is_dir(follow_symlinks=False):
                self._open(os.open(item.name, DIRECTORY, dir_fd=parent), name, above, depth)
            else:
                info = item.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and not os.access(item.name, os.R_OK, dir_fd=parent, effective_ids=True):
                    os.stat(item.name, dir_fd=parent, follow_symlinks=False)
                    raise PermissionError(name)
                self._file(name, info)

    def _link(
        self, item: os.DirEntry[str], parent: int, name: str, above: tuple[tuple[int, int], ...], depth: int
    ) -> None:
        try:
            descriptor = open_beneath(self._dataset_root.root, self._dataset_root.real, joined(self._path, name))
        except (LinkLoop, SpecialFile, FileNotFoundError, NotADirectoryError) as error:
            self._leave(name, why_not(error, target_of(item.name, parent)))
        else:
            self._open(descriptor, name, above, depth)

    def _open(self, descriptor: int, name: str, above: tuple[tuple[int, int], ...], depth: int) -> None:
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISDIR(info.st_mode):
                self._file(name, info)
            elif (info.st_dev, info.st_ino) in above:
                self._leave(name, _IN_ITSELF)
            else:
                self._folder(descriptor, name, above, depth + 1)
        finally:
            os.close(descriptor)

    def _file(self, name: str, info: os.stat_result) -> None:
        if not stat.S_ISREG(info.st_mode):
            self._leave(name, SpecialFile(name, info.st_mode).what)
            return
        executable = bool(info.st_mode & stat.S_IXUSR)
        self.files.append(SourceFile(name, info.st_size, self._version(info), executable=executable, ranged=True))
        self._count()

    def _leave(self, name: str, reason: str) -> None:
        self.left_out.append(LeftOut(name, reason))
        self._count()

    def _count(self) -> None:
        seen = len(self.files) + len(self.left_out)
        if seen > MAX_FILES:
            raise too_many_files(MAX_FILES)
        if seen % 256 == 0:
            self._beat()


def why_not(error: Exception, target: str) -> str:
    """What keeps a name from being read, as a noun phrase. `target`: of a link, "" for anything else."""
    match error:
        case LinkOutside():
            return "a link that leads outside the dataset"
        case LinkLoop():
            return "a link that leads in a circle"
        case SpecialFile():
            return f"a link to {error.what}" if target else error.what
        case FileNotFoundError() | NotADirectoryError() if target:
            return f"a link to {target}, which does not exist"
        case PermissionError():
            return FORBIDDEN
    return f"not readable: {getattr(error, 'strerror', None) or error}"


def lies_in(dataset_root: DatasetRoot, folder: int, info: os.stat_result) -> str:
    """What keeps the folder `info`, which a link in `folder` leads to, from being copied; "" if nothing does."""
    try:
        return _IN_ITSELF if (info.st_dev, info.st_ino) in keys_above(dataset_root.root, folder) else ""
    except OSError:
        return ""


def target_of(name: str, folder: int) -> str:
    """Target of a link, for messages; "" when the link is gone."""
    try:
        return shown(os.readlink(name, dir_fd=folder))[:_LONGEST]
    except OSError:
        return ""


def shown(name: str) -> str:
    """For messages: bytes that are no UTF-8 as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def _vanishing(name: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Vanished(name) from error


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SourceError(
            f"{name or 'The folder'} may not be read by the user that the console runs as.",
            hint="Allow it (chmod a+r, for a folder a+rx), or choose another folder.",
        ) from error
