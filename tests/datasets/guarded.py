"""A kind with everything that an option can be: a folder that opens for whoever knows the word in its file `.word`."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from datasets.errors import SourceError
from datasets.sources.base import Body, Option, Page, Site, Source
from datasets.sources.local.source import LocalSource
from datasets.specs import Entry, Plan, SourceFile

WORD = "open-sesame-4711"


class GuardedSource(Source):
    kind: ClassVar[str] = "guarded"
    label: ClassVar[str] = "Guarded folder"
    options: ClassVar[tuple[Option, ...]] = (
        Option("place", "Place", help="Where the folder is."),
        Option("word", "Word", secret=True, help="What opens it."),
        Option("second", "Second word", required=False, secret=True),
        Option("manner", "Manner", required=False, choices=(("polite", "Politely"), ("rude", "Rudely"))),
        Option("list", "List", required=False, lines=True, keeps_credentials=True),
    )

    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        self._given = options
        self._folder = LocalSource({"path": options.get("place", "")}, site)

    def _open(self) -> LocalSource:
        expected = self._folder.read(".word", 100).decode().strip()
        if not hmac.compare_digest(expected, self._given.get("word", "")):
            raise SourceError("That is not the word.", option="word")
        if self._given.get("manner") == "rude":
            raise SourceError("Not in that manner.", option="manner")
        return self._folder

    def check(self) -> str:
        second = " Both words were heard." if self._given.get("second") else ""
        return f"The folder opened.{second} {self._open().check()}"

    def entry(self, path: str) -> Entry:
        return self._open().entry(path)

    def list(self, path: str, after: str = "", limit: int = 200) -> Page:
        return self._open().list(path, after, limit)

    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        return self._open().plan(path, beat=beat)

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        return self._open().open(file, path, offset, length)

    def read(self, path: str, limit: int) -> bytes:
        return self._open().read(path, limit)


def guard(folder: Path, word: str = WORD) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".word").write_text(word)
