"""The kind `local`: a directory of this machine, inside one that an administrator allowed.

Nothing outside the dataset's directory can be listed or read: see `beneath.py` for how, whatever links do meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import (
    Body,
    Option,
    Page,
    Site,
    Source,
    clean_path,
    is_text,
    make_plan,
    nothing_in,
)
from datasets.sources.local.openat import open_beneath, open_plainly, open_root
from datasets.sources.local.walk import DatasetRoot, Vanished, Walk, lies_in, shown, target_of, why_not
from datasets.sources.paths import blank_hint, joined, quoted
from datasets.specs import Entry, Plan, SourceFile

WALKS = 3
"""How often a folder is listed anew in which something vanishes meanwhile."""
_GONE = {errno.ENOENT, errno.ENOTDIR}
_REFUSED = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}


class LocalSource(Source):
    kind: ClassVar[str] = "local"
    connects: ClassVar[bool] = False
    directories: ClassVar[bool] = True
    label: ClassVar[str] = "Directory of this machine"
    streams: ClassVar[int] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "path", "Directory", exact=True, help="Absolute path, inside a directory that an administrator allowed."
        ),
    )

    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        self._directory = str(options.get("path", ""))
        self._allowed = site.roots
        self._start: Start | None = None

    def check(self) -> str:
        with self._root() as (root, real), _explained(""), os.scandir(root) as directory_entries:
            count = sum(1 for _ in directory_entries)
        return f"{real} can be read: {count} {'entry' if count == 1 else 'entries'}."

    def entry(self, path: str) -> Entry:
        path = clean_path(path)
        with self._opened(path) as descriptor:
            return _entry(path, os.fstat(descriptor))

    def list(self, path: str, after: str = "", limit: int = 200) -> Page:
        offset = int(after) if after.isdecimal() else 0
        path = clean_path(path)
        with self._root() as (root, real), self._opened(path) as folder:
            _require_folder(folder, path)
            dataset_root = DatasetRoot(root, real)
            with _explained(path), os.scandir(folder) as directory_entries:
                names = [
                    (item.name, item.is_symlink(), item.is_dir(follow_symlinks=False)) for item in directory_entries
                ]
            rows = []
            for name, is_link, is_dir in names:
                entry = _entry_at(dataset_root, folder, path, name) if is_link else None
                rows.append((not (entry.is_dir if entry else is_dir), name, entry))
            rows.sort(key=lambda row: (row[0], row[1].casefold(), row[1]))
            further = offset + limit
            entries = [entry or _entry_at(dataset_root, folder, path, name) for _, name, entry in rows[offset:further]]
        return Page(tuple(entries), total=len(rows), next=str(further) if further < len(rows) else "")

    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        path = clean_path(path)
        for _ in range(WALKS):
            try:
                return self._walked(path, beat)
            except Vanished as error:
                name = error.name
        raise SourceChanged(name)

    def _walked(self, path: str, beat: Callable[[], None]) -> Plan:
        with self._root() as (root, real), self._opened(path) as start:
            walk = Walk(DatasetRoot(root, real), path, _version, beat)
            info = os.fstat(start)
            if stat.S_ISREG(info.st_mode):
                executable = bool(info.st_mode & stat.S_IXUSR)
                name = path.rsplit("/", 1)[-1]
                walk.files.append(SourceFile(name, info.st_size, _version(info), executable=executable, ranged=True))
            else:
                with _explained(path):
                    walk.run(start)
        if not walk.files:
            raise nothing_in(path, walk.left_out)
        return make_plan(self.kind, walk.files, walk.empty, origin=f"{real}/{path}", left_out=walk.left_out)

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        return LocalBody(self._open_planned(file, path), file, offset, file.size - offset if length is None else length)

    def still(self, file: SourceFile, path: str) -> None:
        """Raises SourceChanged unless the file is the version that was planned. A body looks by itself at its end."""
        os.close(self._open_planned(file, path))

    def read(self, path: str, limit: int) -> bytes:
        path = clean_path(path)
        with self._opened(path) as descriptor, _explained(path):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise SourceError(f"{path or 'The dataset'} is a folder, not a file.")
            return os.pread(descriptor, limit, 0)

    def _open_planned(self, file: SourceFile, path: str) -> int:
        path, name = clean_path(path), clean_path(file.path)
        with _explained(name):
            try:
                descriptor = self._planned(path, name)
            except FileNotFoundError as error:
                raise SourceChanged(name) from error
            if not is_version(os.fstat(descriptor), file):
                os.close(descriptor)
                raise SourceChanged(name)
            return descriptor

    def _planned(self, path: str, name: str) -> int:
        if self._start is None or self._start.path != path:
            with self._root() as (root, real):
                self._start = Start(path, open_beneath(root, real, path))
        # The plan of a single file names it by its last part; `path` is the file itself then.
        if not self._start.is_file:
            with suppress(OSError):  # a link, perhaps: then the long way says whether it may be followed
                return open_plainly(self._start.descriptor, name)
        with self._root() as (root, real):
            return open_beneath(root, real, path if self._start.is_file else joined(path, name))

    @contextmanager
    def _root(self) -> Iterator[tuple[int, PurePosixPath]]:
        directory = Path(self._directory)
        if not directory.is_absolute() or "\0" in self._directory:
            raise SourceError("The directory must be an absolute path.", hint="For example /srv/models.")
        try:
            descriptor, real = open_root(directory, self._allowed)
        except FileNotFoundError as error:
            # Not permanent: a mount that is away looks like this too.
            raise SourceError(
                f"{quoted(str(directory))} does not exist on this machine.",
                permanent=False,
                hint=blank_hint(str(directory)),
            ) from error
        except NotADirectoryError as error:
            raise SourceError(f"{directory} is not a directory.") from error
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its links go in a circle"
            raise SourceError(f"{directory} cannot be opened: {reason}.", permanent=False) from error
        try:
            yield descriptor, real
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        with self._root() as (root, real):
            with _explained(path):
                try:
                    descriptor = open_beneath(root, real, path)
                except FileNotFoundError as error:
                    raise _no_end(DatasetRoot(root, real), path) or error from error
            try:
                yield descriptor
            finally:
                os.close(descriptor)


class Start:
    """The folder or file that a plan begins at, kept open so that its files are found without walking there anew."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        weakref.finalize(self, os.close, descriptor)


class LocalBody(FileIO):
    """Some bytes of one version of a file. Raises SourceChanged at their end when the file was written meanwhile."""

    def __init__(self, descriptor: int, file: SourceFile, offset: int, length: int) -> None:
        super().__init__(descriptor, "rb")
        self._file, self._left = file, length
        self.seek(offset)

    def readinto(self, buffer: Any, /) -> int | None:
        count = super().readinto(buffer) or 0
        self._left -= count
        if self._left <= 0 and not is_version(os.fstat(self.fileno()), self._file):
            raise SourceChanged(self._file.path)
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._left -= len(data)
        return data


def _entry_at(dataset_root: DatasetRoot, folder: int, path: str, name: str) -> Entry:
    """What `name` in the open folder `path` is, also when it may not, or cannot, be read."""
    target = target_of(name, folder)
    if not is_text(name):
        return Entry(joined(path, shown(name)), False, 0, 0.0, "a name that is not UTF-8")
    try:
        descriptor = open_beneath(dataset_root.root, dataset_root.real, joined(path, name))
    except (OSError, SourceError) as error:
        return Entry(joined(path, name), False, 0, 0.0, why_not(error, target))
    try:
        info = os.fstat(descriptor)
        problem = lies_in(dataset_root, folder, info) if target and stat.S_ISDIR(info.st_mode) else ""
        return _entry(joined(path, name), info, problem)
    finally:
        os.close(descriptor)


def _no_end(dataset_root: DatasetRoot, path: str) -> SourceError | None:
    """For a path that leads nowhere: when its last part is a link, that is what is wrong. Raises OSError."""
    above, _, name = path.rpartition("/")
    folder = open_beneath(dataset_root.root, dataset_root.real, above)
    try:
        target = target_of(name, folder)
    finally:
        os.close(folder)
    if not target:
        return None
    hint = "Mend the link, or choose another path."
    return SourceError(f"{path} is a link to {target}, which does not exist.", hint=hint)


def _entry(path: str, info: os.stat_result, problem: str = "") -> Entry:
    is_dir = stat.S_ISDIR(info.st_mode)
    return Entry(path, is_dir, 0 if is_dir else info.st_size, info.st_mtime, problem)


def is_version(info: os.stat_result, file: SourceFile) -> bool:
    return info.st_size == file.size and _version(info) == file.version


def _version(info: os.stat_result) -> str:
    # ctime and inode see a file that was put back with the modification time of the old one.
    return f"{info.st_mtime_ns}-{info.st_ctime_ns}-{info.st_ino}"


def _require_folder(descriptor: int, path: str) -> None:
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise SourceError(f"{path} is a file, not a folder.")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """What the operating system says, in words. Only clear cases are permanent: mounts fail for a while."""
    shown = path or "the dataset"
    try:
        yield
    except OSError as error:
        if error.errno in _GONE or isinstance(error, NotADirectoryError):
            raise SourceError(f"There is no {shown} in this dataset.") from error
        if error.errno in _REFUSED:
            raise SourceError(f"{shown} cannot be read: {error.strerror}.") from error
        raise SourceError(f"{shown} cannot be read: {error.strerror}.", permanent=False) from error
