"""Files at a web server by name: those of a list, or a single one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

from datasets.errors import SourceError
from datasets.sources.base import Body, beginning
from datasets.sources.http.filelist import Listed
from datasets.sources.http.probe import RANGED_FROM, probe
from datasets.sources.net.client import Web
from datasets.sources.net.url import Url
from datasets.sources.tree import Tree
from datasets.specs import Entry, SourceFile

_In = TypeVar("_In")
_Out = TypeVar("_Out")
AT_ONCE = 8
"""Files whose size and version are asked for side by side."""
_BATCH = 64
"""Files in hand at a time: those already begun go on after the first failure."""
STRONG = ("sha256:", "sha384:", "sha512:")
"""How a version begins that is not the server's but the list's: nobody can make another content of the same digest."""


class ListedFiles:
    """`url_of` says where a file of the list is. Serves many threads."""

    def __init__(
        self,
        web: Web,
        credentials: dict[str, str],
        rows: Iterable[Listed],
        url_of: Callable[[str], Url],
        shown: str,
    ) -> None:
        self._web, self._credentials, self._url_of, self._shown = web, credentials, url_of, shown
        rows = list(rows)
        self._rows = {row.path: row for row in rows}
        self._tree = Tree(Entry(row.path, False, row.size or 0, 0.0) for row in rows)

    def check(self) -> str:
        first = next(iter(self._rows))
        probe(self._web, self._url_of(first), first, self._credentials)
        count = len(self._rows)
        return f"{self._shown} can be read: {'one file' if count == 1 else f'a list of {count} files'}."

    def tree(self) -> Tree:
        return self._tree

    def fresh(self, beat: Callable[[], None]) -> Tree:
        beat()
        return self._tree

    def names(self, path: str) -> bool:
        return path in self._rows

    def sized(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        """The entries with the sizes that the list does not say. One that is not there has a problem."""
        return tuple(self._each(self._sized, list(entries), lambda: None))

    def planned(self, path: str, entries: list[Entry], beat: Callable[[], None]) -> list[SourceFile]:
        rows = [self._rows[entry.path] for entry in entries]
        known_files = [file for row in rows if (file := _complete(row)) is not None]
        return known_files + list(self._each(self._probe, [row for row in rows if _complete(row) is None], beat))

    def open(self, path: str, file: SourceFile, offset: int, length: int | None) -> Body:
        version = "" if file.version.startswith(STRONG) else file.version
        return self._web.part(
            self._url_of(path),
            file.path,
            file.size,
            offset=offset,
            length=length,
            version=version,
            credentials=self._credentials,
        )

    def read(self, path: str, limit: int) -> bytes:
        with self._web.open(self._url_of(path), credentials=self._credentials).body as body:
            return beginning(body, limit)

    def _each(self, ask: Callable[[_In], _Out], rows: list[_In], beat: Callable[[], None]) -> Iterator[_Out]:
        """`ask` for each of `rows`, several at once. The first error ends it, without asking on."""
        threads = ThreadPoolExecutor(AT_ONCE)
        try:
            for start in range(0, len(rows), _BATCH):
                for result in threads.map(ask, rows[start : start + _BATCH]):
                    beat()
                    yield result
        finally:
            threads.shutdown(cancel_futures=True)

    def _sized(self, entry: Entry) -> Entry:
        if entry.is_dir or self._rows[entry.path].size is not None:
            return entry
        try:
            seen = probe(self._web, self._url_of(entry.path), entry.path, self._credentials, ranged_from=1 << 62)
        except SourceError as error:
            if error.permanent:
                return replace(entry, problem="in the list, and not given by the server")
            raise
        return Entry(entry.path, False, seen.size, seen.modified)

    def _probe(self, row: Listed) -> SourceFile:
        seen = probe(self._web, self._url_of(row.path), row.path, self._credentials)
        if row.size not in {None, seen.size}:
            raise SourceError(
                f"{row.path} has {seen.size} bytes at the server; the list says {row.size}.",
                hint="Make the list anew.",
            )
        version = seen.version or (row.check if row.check.startswith(STRONG) else "")
        return SourceFile(row.path, seen.size, version, ranged=seen.ranged, check=row.check or seen.check)


def _complete(row: Listed) -> SourceFile | None:
    """The file, where the list says all there is to know: asking takes as long as fetching it, if it is small."""
    if row.size is None or not row.check.startswith(STRONG) or row.size >= RANGED_FROM:
        return None
    return SourceFile(row.path, row.size, row.check, check=row.check)


def below(base: Url) -> Callable[[str], Url]:
    """Where the files of a list are: below the folder that `base` names. A query of it goes along."""
    path, _, query = base.target.partition("?")
    start = path if path.endswith("/") else f"{path}/"
    end = f"?{query}" if query else ""
    return lambda name: base.with_target(f"{start}{quote(name)}{end}")
