"""What lies in a repository at a commit, as far as the dataset's patterns choose it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from huggingface_hub.hf_api import RepoFile, RepoFolder

from datasets.errors import SourceError
from datasets.sources.base import MAX_FILES, clean_path, too_many_files
from datasets.sources.huggingface.client import HubClient, TreePage
from datasets.sources.huggingface.patterns import Patterns

Row = RepoFile | RepoFolder
KEPT: Final = 32
"""Pages kept: looking at a folder asks for it several times. At a commit they never change."""
MOST_PAGES: Final = 10
"""Pages read to fill one page of a listing, when the patterns choose little."""
MOST_LISTED: Final = 2000
"""Pages of everything below a folder."""


@dataclass(frozen=True)
class PageStart:
    """Where the next page of a listing begins: so many rows into the page that the Hub's `cursor` names."""

    commit: str
    offset: int = 0
    cursor: str = ""

    @classmethod
    def parse(cls, text: str) -> PageStart | None:
        """None for "" and for what this class did not write."""
        commit, _, rest = text.partition(":")
        offset, _, cursor = rest.partition(":")
        if len(commit) != 40 or not commit.isalnum() or not commit.isascii() or not offset.isdecimal():
            return None
        return cls(commit, int(offset), cursor)

    def __str__(self) -> str:
        return f"{self.commit}:{self.offset}:{self.cursor}"


class HubTree:
    """Serves many threads."""

    def __init__(self, client: HubClient, patterns: Patterns) -> None:
        self._client, self._patterns = client, patterns
        self._kept: dict[tuple[str, str, str], TreePage] = {}

    def find(self, commit: str, path: str) -> Row:
        """What lies at `path`. Raises SourceError when there is nothing, or nothing that is chosen."""
        row = self._client.entry(commit, path)
        if row is None:
            raise SourceError(f"There is no {path} in this dataset.")
        if not self._chosen([row]):
            raise SourceError(f"{path} is left out of this dataset.", hint="Its include and exclude say so.")
        return row

    def whole(self, commit: str, path: str) -> list[Row] | None:
        """Everything in a folder, folders first, then by name; None when it is longer than one page of the Hub."""
        page = self._page(commit, path)
        if page.next:
            return None
        rows = self._chosen(page.rows)
        return sorted(rows, key=lambda row: (isinstance(row, RepoFile), row.path.casefold(), row.path))

    def some(self, page_start: PageStart, path: str, limit: int) -> tuple[list[Row], PageStart | None]:
        """At most `limit` rows of a long folder, in the Hub's order, and where the next ones begin."""
        chosen: list[Row] = []
        for _ in range(MOST_PAGES):
            page = self._page(page_start.commit, path, page_start.cursor)
            rows = self._chosen(page.rows)
            part = rows[page_start.offset : page_start.offset + limit - len(chosen)]
            chosen += part
            if (reached := page_start.offset + len(part)) < len(rows):
                return chosen, PageStart(page_start.commit, reached, page_start.cursor)
            if not page.next:
                return chosen, None
            page_start = PageStart(page_start.commit, 0, page.next)
            if len(chosen) == limit:
                break
        return chosen, page_start

    def below(self, commit: str, path: str, beat: Callable[[], None]) -> Iterator[RepoFile]:
        """Every chosen file below a folder. Raises SourceError for a name that must not be copied."""
        start, count, cursor = f"{path}/" if path else "", 0, ""
        for _ in range(MOST_LISTED):
            beat()
            page = self._client.tree(commit, path, recursive=True, cursor=cursor)
            files = [row for row in self._patterns_only(page.rows) if isinstance(row, RepoFile)]
            for row in files:
                if not _is_sound(row.path) or not row.path.startswith(start):
                    raise SourceError(
                        f"The repository has a file with a name that cannot be copied: {row.path!r}.", refused="path"
                    )
            if (count := count + len(files)) > MAX_FILES:
                raise too_many_files(MAX_FILES, hint="Choose fewer by include.")
            yield from files
            if not (cursor := page.next):
                return
        raise SourceError(
            "The listing of the repository does not end.", hint="Choose the folder of one model.", refused="endless"
        )

    def _page(self, commit: str, path: str, cursor: str = "") -> TreePage:
        key = (commit, path, cursor)
        if (kept := self._kept.get(key)) is None:
            kept = self._client.tree(commit, path, recursive=False, cursor=cursor)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = kept
        return kept

    def _chosen(self, rows: Iterable[Row]) -> list[Row]:
        return [row for row in self._patterns_only(rows) if _is_sound(row.path)]

    def _patterns_only(self, rows: Iterable[Row]) -> list[Row]:
        rows = list(rows)
        files = self._patterns.files(row.path for row in rows if isinstance(row, RepoFile))
        return [
            row for row in rows if (row.path in files if isinstance(row, RepoFile) else self._patterns.folder(row.path))
        ]


def _is_sound(path: str) -> bool:
    try:
        return bool(path) and clean_path(path) == path
    except SourceError:
        return False
