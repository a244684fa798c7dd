"""Keys of objects as paths of files and folders. Pure.

A bucket knows no folders: any key goes, also ones that no directory can hold or that would lead out of it.
"""

from __future__ import annotations

from datasets.errors import SourceError
from datasets.sources.base import is_text

MAX_NAME = 255
"""Bytes that one part of a path may have on any usual filesystem."""
_HINT = "Rename the object, or choose a folder without it."


def path_of(key: str, prefix: str) -> str:
    """`key` relative to `prefix`, with a `/` at the end for a folder's marker; "" for that of `prefix` itself.

    Raises SourceError, naming the key, for one that is not a plain relative path.
    """
    if not key.startswith(prefix):
        raise SourceError(f"The server returned an unexpected key: {shown(key)}.", refused="path")
    path = key[len(prefix) :]
    if fault := fault_of(path):
        raise SourceError(f"The key {shown(key)} {fault}.", hint=_HINT, refused="path")
    return path


def fault_of(path: str) -> str:
    """What keeps a key, relative to a prefix, from being a path, as a predicate; "" for one that is."""
    if not path:
        return ""
    parts = path.removesuffix("/").split("/")
    if not all(parts):
        return "has an empty part: two slashes in a row, or one at the front"
    for part in parts:
        if part in {".", ".."}:
            return f"has the part '{part}'"
    if "\0" in path:
        return "has a NUL character"
    if "\\" in path:
        return "has a backslash, where folders end with a slash"
    # What is not UTF-8 arrives with the character for things that cannot be read.
    if "\ufffd" in path or not is_text(path):
        return "is not a name in UTF-8"
    if (len(path) > MAX_NAME or not path.isascii()) and any(len(part.encode()) > MAX_NAME for part in parts):
        return f"has a part of more than {MAX_NAME} bytes"
    return ""


def shown(key: str) -> str:
    """For messages: without characters that would break a line or a log."""
    text = key.encode("unicode_escape").decode("ascii") if not key.isprintable() else key
    return text if len(text) <= 200 else f"{text[:200]}…"


class Folders:
    """Collects paths, and finds folders with nothing in them. Raises SourceError for what no disk can hold."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._markers: set[str] = set()

    def file(self, path: str) -> None:
        if path in self._files:
            raise SourceError(f"The server listed {shown(path)} twice.", permanent=False)
        self._files.add(path)
        self._above(path)

    def marker(self, path: str) -> None:
        self._markers.add(path)
        self._above(path)

    def empty(self) -> list[str]:
        """Folders that have a marker and nothing below. Raises SourceError for a name that is both file and folder."""
        both = self._files & (self._folders | self._markers)
        if both:
            raise SourceError(f"{shown(min(both))} is a file and a folder at once; no disk can hold that.", hint=_HINT)
        return sorted(self._markers - self._folders)

    def _above(self, path: str) -> None:
        while (end := path.rfind("/")) > 0:
            path = path[:end]
            if path in self._folders:
                return
            self._folders.add(path)
