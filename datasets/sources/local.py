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
from datasets.sources.base import MAX_FILES, Body, Option, Page, Site, Source, clean_path, is_text, make_plan
from datasets.sources.beneath import DIRECTORY, open_beneath, open_plainly, open_root
from datasets.specs import Entry, Plan, SourceFile

MAX_DEPTH = 64
_GONE = {errno.ENOENT, errno.ENOTDIR}
_REFUSED = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}


class LocalSource(Source):
    kind: ClassVar[str] = "local"
    connects: ClassVar[bool] = False
    directories: ClassVar[bool] = True
    label: ClassVar[str] = "Directory of this machine"
    streams: ClassVar[int] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option("path", "Directory", help="Absolute path, inside a directory that an administrator allowed."),
    )

    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        self._directory = str(options.get("path", ""))
        self._allowed = site.roots
        self._start: Start | None = None

    def check(self) -> str:
        with self._root() as (root, real), _explained(""), os.scandir(root) as found:
            count = sum(1 for _ in found)
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
            with _explained(path), os.scandir(folder) as found:
                names = [(item.name, item.is_dir(follow_symlinks=False), item.is_file(follow_symlinks=False),
                          item.is_symlink()) for item in found if is_text(item.name)]
            rows: list[tuple[bool, str]] = []
            for name, is_dir, is_file, is_link in names:
                if is_link:
                    seen = _look(root, real, _join(path, name))
                    if seen is None:
                        continue
                    is_dir = stat.S_ISDIR(seen.st_mode)
                elif not (is_dir or is_file):
                    continue
                rows.append((not is_dir, name))
            rows.sort(key=lambda row: (row[0], row[1].casefold(), row[1]))
            entries = []
            for _, name in rows[offset:offset + limit]:
                seen = _look(root, real, _join(path, name))
                if seen is not None:
                    entries.append(_entry(_join(path, name), seen))
        further = offset + limit
        return Page(tuple(entries), total=len(rows), next=str(further) if further < len(rows) else "")

    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        path = clean_path(path)
        files: list[SourceFile] = []
        empty: list[str] = []
        with self._root() as (root, real), self._opened(path) as start:
            info = os.fstat(start)
            if stat.S_ISREG(info.st_mode):
                files.append(_file(path.rsplit("/", 1)[-1], info))
            else:
                _Walk(root, real, path, files, empty, beat).folder(start, "", ())
        if not files:
            raise SourceError(f"There are no files in {path or 'this dataset'}.")
        return make_plan(self.kind, files, empty, origin=f"{real}/{path}")

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
            return open_beneath(root, real, path if self._start.is_file else _join(path, name))

    @contextmanager
    def _root(self) -> Iterator[tuple[int, PurePosixPath]]:
        directory = Path(self._directory)
        if not directory.is_absolute() or "\0" in self._directory:
            raise SourceError("The directory must be an absolute path.", hint="For example /srv/models.")
        try:
            descriptor, real = open_root(directory, self._allowed)
        except FileNotFoundError as error:
            # Not permanent: a mount that is away looks like this too.
            raise SourceError(f"{directory} does not exist on this machine.", permanent=False) from error
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
                descriptor = open_beneath(root, real, path)
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


class _Walk:
    """Collects the files below one folder. Links inside the dataset are followed, circles are refused."""

    def __init__(
        self, root: int, real: PurePosixPath, path: str, files: list[SourceFile], empty: list[str],
        beat: Callable[[], None],
    ) -> None:
        self.root, self.real, self.path = root, real, path
        self.files, self.empty, self.beat = files, empty, beat

    def folder(self, descriptor: int, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
        info = os.fstat(descriptor)
        if (key := (info.st_dev, info.st_ino)) in above:
            raise SourceError(f"{prefix} is a symbolic link to a folder that it lies in.", refused="link")
        if len(above) >= MAX_DEPTH:
            raise SourceError(f"{prefix} lies more than {MAX_DEPTH} folders deep.")
        self.beat()
        with _explained(prefix), os.scandir(descriptor) as found:
            items = sorted(found, key=lambda item: item.name)
            if not items and prefix:
                self.empty.append(prefix)
            for item in items:
                self.item(item, descriptor, _join(prefix, item.name), (*above, key))

    def item(self, item: os.DirEntry[str], parent: int, name: str, above: tuple[tuple[int, int], ...]) -> None:
        if not is_text(name):
            raise SourceError(f"{name.encode('utf-8', 'backslashreplace').decode()} is not a name in UTF-8.")
        with _explained(name):
            if item.is_symlink():
                descriptor = open_beneath(self.root, self.real, _join(self.path, name))
            elif item.is_dir(follow_symlinks=False):
                descriptor = os.open(item.name, DIRECTORY, dir_fd=parent)
            else:
                return self.file(name, item.stat(follow_symlinks=False))
            try:
                if stat.S_ISDIR((info := os.fstat(descriptor)).st_mode):
                    self.folder(descriptor, name, above)
                else:
                    self.file(name, info)
            finally:
                os.close(descriptor)

    def file(self, name: str, info: os.stat_result) -> None:
        if not stat.S_ISREG(info.st_mode):
            raise SourceError(f"{name} is neither a file nor a folder.", hint="Remove it, or choose another folder.")
        if len(self.files) >= MAX_FILES:
            raise SourceError(
                f"There are more than {MAX_FILES} files here.", hint="Choose the folder of one model.",
                refused="endless",
            )  # fmt: skip
        self.files.append(_file(name, info))
        if len(self.files) % 256 == 0:
            self.beat()


def _look(root: int, real: PurePosixPath, path: str) -> os.stat_result | None:
    """What `path` is, or None when it may not, or cannot, be read."""
    try:
        descriptor = open_beneath(root, real, path)
    except (OSError, SourceError):
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _entry(path: str, info: os.stat_result) -> Entry:
    is_dir = stat.S_ISDIR(info.st_mode)
    return Entry(path=path, is_dir=is_dir, size=0 if is_dir else info.st_size, modified=info.st_mtime)


def _file(name: str, info: os.stat_result) -> SourceFile:
    return SourceFile(
        name, info.st_size, _version(info), executable=bool(info.st_mode & stat.S_IXUSR), ranged=True
    )


def is_version(info: os.stat_result, file: SourceFile) -> bool:
    return info.st_size == file.size and _version(info) == file.version


def _version(info: os.stat_result) -> str:
    # ctime and inode see a file that was put back with the modification time of the old one.
    return f"{info.st_mtime_ns}-{info.st_ctime_ns}-{info.st_ino}"


def _require_folder(descriptor: int, path: str) -> None:
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise SourceError(f"{path} is a file, not a folder.")


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


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
