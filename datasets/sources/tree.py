"""A whole dataset in memory, for sources that learn all of its names at once: lists and archives. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from datasets.errors import SourceError
from datasets.sources.base import MAX_FILES, Page, clean_path, too_many_files
from datasets.specs import Entry

MAX_DEPTH = 64
MAX_NAME = 255
"""Bytes of one part of a path, as file systems have it."""


class Tree:
    """Files by path, with the folders that they lie in. Raises SourceError for names that no folder could hold."""

    def __init__(self, files: Iterable[Entry], folders: Iterable[str] = ()) -> None:
        self._children: dict[str, dict[str, Entry]] = {"": {}}
        for folder in folders:
            self._folder(folder)
        for count, file in enumerate(files, start=1):
            if count > MAX_FILES:
                raise too_many_files(MAX_FILES, hint="")
            folder, _, name = file.path.rpartition("/")
            inside = self._folder(folder)
            if name in inside:
                raise SourceError(f"{file.path} is there twice.")
            inside[name] = file

    def note(self, entry: Entry) -> None:
        """Adds something that has a problem, unless its name is taken or leads through a file."""
        folder, _, name = entry.path.rpartition("/")
        with suppress(SourceError):
            self._folder(folder).setdefault(name, entry)

    def entry(self, path: str) -> Entry:
        if path in self._children:
            return Entry(path, is_dir=True, size=0, modified=0.0)
        folder, _, name = path.rpartition("/")
        entry = self._children.get(folder, {}).get(name)
        if entry is None:
            raise SourceError(f"There is no {path} in this dataset.")
        return entry

    def page(self, path: str, after: str, limit: int) -> Page:
        if path not in self._children:
            self.entry(path)
            raise SourceError(f"{path} is a file, not a folder.")
        rows = sorted(
            self._children[path].values(),
            key=lambda row: (not row.is_dir, row.name.casefold(), row.name),
        )
        offset = int(after) if after.isdecimal() else 0
        further = offset + limit
        return Page(tuple(rows[offset:further]), total=len(rows), next=str(further) if further < len(rows) else "")

    def below(self, path: str) -> tuple[list[Entry], list[str]]:
        """Every file below the folder `path`, or the one that it names; and the empty folders. In any order."""
        here = self.entry(path)
        if not here.is_dir:
            return [here], []
        files: list[Entry] = []
        empty: list[str] = []
        pending = [path]
        while pending:
            folder = pending.pop()
            inside = self._children[folder].values()
            if not inside and folder != path:
                empty.append(folder)
            for entry in inside:
                if entry.is_dir:
                    pending.append(entry.path)
                else:
                    files.append(entry)
        return files, empty

    def _folder(self, path: str) -> dict[str, Entry]:
        if (existing := self._children.get(path)) is not None:
            return existing
        if path.count("/") >= MAX_DEPTH:
            raise SourceError(f"{path} is more than {MAX_DEPTH} folders deep.")
        above, _, name = path.rpartition("/")
        inside = self._folder(above)
        if name in inside:
            raise SourceError(f"{path} is a file and a folder.")
        inside[name] = Entry(path, is_dir=True, size=0, modified=0.0)
        children: dict[str, Entry] = {}
        self._children[path] = children
        return children


def safe_name(name: str, where: str) -> str:
    """`name` as a path of a dataset. Raises SourceError for one that would lead out of it, saying `where` it stands."""
    try:
        path = clean_path(name)
    except SourceError as error:
        shown = name.encode("utf-8", "backslashreplace").decode()[:200]
        raise SourceError(
            f"{where} has a name that may not be: {shown!r}. {error.message}",
            hint="Names are relative, such as 1/model.onnx.",
            refused="path",
        ) from error
    if not path:
        return path
    if any(len(part.encode()) > MAX_NAME for part in path.split("/")):
        raise SourceError(
            f"{where} has a name of more than {MAX_NAME} bytes, which no folder could hold: {path[:200]!r}.",
            hint="Give the file a shorter name.",
            refused="path",
        )
    return path


def inside(base: str, path: str) -> str:
    """`path` as seen from `base`, which is a folder above it or the file itself."""
    if path == base:
        return path.rpartition("/")[2]
    return path[len(base) + 1 :] if base else path
