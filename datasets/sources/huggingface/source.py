"""The kind `huggingface`: a model repository of the Hugging Face Hub, or of a server that speaks like it.

A plan is of one commit: a branch may move meanwhile, the files do not. What git or the large-file storage calls a file
is its version and its checksum. Xet's chunks are not used: see docs/datasets.md.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Final

from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import HFValidationError, validate_repo_id

from datasets.errors import SERVER, SourceError
from datasets.sources.base import Body, Option, Page, Site, Source, clean_path, make_plan
from datasets.sources.huggingface.client import HubClient
from datasets.sources.huggingface.errors import Target
from datasets.sources.huggingface.files import HubFiles
from datasets.sources.huggingface.patterns import Patterns
from datasets.sources.huggingface.transport import Wire
from datasets.sources.huggingface.tree import HubTree, PageStart, Row
from datasets.sources.net.client import Web
from datasets.sources.net.sockets import Network
from datasets.sources.paths import joined
from datasets.sources.sifting import sift
from datasets.specs import Entry, Plan, SourceFile

ENDPOINT: Final = "https://huggingface.co"
LARGE: Final = 1 << 20
"""Bytes from which a file of the large-file storage is read in parts, and its address there kept."""
ENOUGH: Final = 1000
"""Files that are looked at to check a repository."""
_DIGESTS: Final = {"git-sha1": re.compile("[0-9a-f]{40}"), "sha256": re.compile("[0-9a-f]{64}")}


@dataclass(frozen=True)
class _Pin:
    """What a model path stands for: a commit, and whether the path is a file there."""

    commit: str
    single: bool


@dataclass(frozen=True)
class _Hub:
    host: str
    client: HubClient
    tree: HubTree
    files: HubFiles


class HuggingFaceSource(Source):
    kind: ClassVar[str] = "huggingface"
    label: ClassVar[str] = "Hugging Face"
    options: ClassVar[tuple[Option, ...]] = (
        Option("repository", "Repository", help="As on the Hub, for example Qwen/Qwen3-0.6B."),
        Option(
            "revision",
            "Revision",
            required=False,
            help="A branch, a tag or a commit. Default: main.",
            keeps_credentials=True,
        ),
        Option(
            "include",
            "Only these files",
            required=False,
            help="Patterns, with commas between them: *.json, *.safetensors.",
            keeps_credentials=True,
        ),
        Option(
            "exclude",
            "Not these files",
            required=False,
            help="Patterns, with commas between them: original/*.",
            keeps_credentials=True,
        ),
        Option(
            "token",
            "Token",
            required=False,
            secret=True,
            help="For private and gated repositories. It needs no more than read access.",
        ),
        Option("endpoint", "Server", required=False, help=f"A mirror of the Hub. Default: {ENDPOINT}."),
    )

    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        given = {option.name: str(options.get(option.name) or "").strip() for option in self.options}
        self._repository, self._token = given["repository"], given["token"]
        self._revision = given["revision"] or "main"
        self._endpoint = (given["endpoint"] or ENDPOINT).rstrip("/")
        self._patterns = Patterns(given["include"], given["exclude"])
        self._site = site
        self._lock = threading.Lock()
        self._opened: _Hub | None = None
        self._commit = ""
        self._pins: dict[str, _Pin] = {}

    def check(self) -> str:
        hub = self._hub()
        commit = hub.client.commit()
        files = [_file(row, row.path) for row in islice(hub.tree.below(commit, "", lambda: None), ENOUGH)]
        if not files:
            raise self._nothing("")
        hub.files.prove(commit, files[0].path)
        large = next((file for file in files if file.ranged), None)
        if large:  # the storage is another server, which may not be allowed here
            hub.files.large(commit, large.path, large.size, large.version, 0, 1).close()
        count = f"{len(files)} {'file' if len(files) == 1 else 'files'}"
        return (
            f"{self._repository} can be read at {hub.host}: {count if len(files) < ENOUGH else f'at least {count}'}"
            f" at {self._revision}, which is commit {commit[:12]}."
        )

    def entry(self, path: str) -> Entry:
        path, commit = clean_path(path), self._current()
        return _entry(self._hub().tree.find(commit, path)) if path else Entry("", is_dir=True, size=0, modified=0)

    def list(self, path: str, after: str = "", limit: int = 200) -> Page:
        path, tree = clean_path(path), self._hub().tree
        page_start = PageStart.parse(after) or PageStart(self._current())
        rows = tree.whole(page_start.commit, path)
        if rows is None:
            hub_rows, further = tree.some(page_start, path, limit)
            return Page(tuple(map(_entry, hub_rows)), total=None, next=str(further or ""))
        end = page_start.offset + limit
        more = str(PageStart(page_start.commit, end)) if end < len(rows) else ""
        return Page(tuple(map(_entry, rows[page_start.offset : end])), total=len(rows), next=more)

    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        path, hub = clean_path(path), self._hub()
        commit = hub.client.commit()
        row = hub.tree.find(commit, path) if path else None
        pin = _Pin(commit, isinstance(row, RepoFile))
        if isinstance(row, RepoFile):
            sifted = sift(())
            files = [_file(row, path.rsplit("/", 1)[-1])]
        else:
            start = len(path) + 1 if path else 0
            rows = {row.path[start:]: row for row in hub.tree.below(commit, path, beat)}
            sifted = sift(rows)
            files = [_file(row, name) for name, row in rows.items() if name in sifted.kept]
        if not files:
            raise self._nothing(path)
        with self._lock:
            self._commit, self._pins[path] = commit, pin
        # A listing is open where the files are not: better to say so now than at each of them.
        hub.files.prove(commit, _full(pin, path, files[0].path))
        origin = f"{self._endpoint}/{self._repository}"
        return make_plan(self.kind, files, [*sifted.empty], origin=origin, left_out=sifted.left_out)

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        pin = self._pins.get(path)
        if pin is None:  # planned by another object
            pin = self._find_pin(clean_path(path))
        full, hub = _full(pin, clean_path(path), file.path), self._hub()
        if file.ranged:
            return hub.files.large(pin.commit, full, file.size, file.version, offset, length)
        return hub.files.small(pin.commit, full, file.size, file.version)

    def read(self, path: str, limit: int) -> bytes:
        path, commit = clean_path(path), self._current()
        if not path:
            raise SourceError("The dataset is a folder, not a file.")
        if not self._patterns.files([path]):
            raise SourceError(f"{path} is left out of this dataset.", hint="Its include and exclude say so.")
        return self._hub().files.beginning(commit, path, limit)

    def abort(self) -> None:
        if self._opened is not None:
            self._opened.files.abort()

    def _hub(self) -> _Hub:
        """Made on first use: here the options are found to be good. Raises SourceError."""
        if self._opened is None:
            with self._lock:
                self._opened = self._opened or self._make()
        return self._opened

    def _make(self) -> _Hub:
        try:
            validate_repo_id(self._repository)
        except HFValidationError as error:
            raise SourceError(
                f"{self._repository!r} is not the name of a repository.",
                hint="For example Qwen/Qwen3-0.6B.",
            ) from error
        if not self._token.isprintable() or not self._token.isascii() or " " in self._token:
            raise SourceError(
                "The token has characters in it that tokens do not have.",
                hint="Copy it once more.",
                option="token",
            )
        if not self._revision.isprintable():
            raise SourceError(
                "The revision has characters in it that branches and tags do not have.",
                option="revision",
            )
        network = Network(self._site.endpoints)
        try:
            home = network.require(self._endpoint)
        except SourceError as error:
            error.option = SERVER
            raise
        if "?" in home.target:
            raise SourceError(
                "The address of the server has a question mark in it.",
                hint=f"For example {ENDPOINT}.",
                option=SERVER,
            )
        target = Target(
            home.authority,
            f"{self._endpoint}/{self._repository}",
            self._repository,
            self._revision,
            bool(self._token),
        )
        client = HubClient(self._endpoint, target, self._token, Wire(network, home))
        files = HubFiles(Web(network), client, home, self._repository, self._token)
        return _Hub(home.authority, client, HubTree(client, self._patterns), files)

    def _current(self) -> str:
        """The commit of the last plan; before one, that of the first look."""
        if not self._commit:
            commit = self._hub().client.commit()
            with self._lock:
                self._commit = self._commit or commit
        return self._commit

    def _find_pin(self, path: str) -> _Pin:
        commit = self._current()
        single = bool(path) and isinstance(self._hub().tree.find(commit, path), RepoFile)
        return self._pins.setdefault(path, _Pin(commit, single))

    def _nothing(self, path: str) -> SourceError:
        what = f"{self._repository}/{path}".rstrip("/")
        if self._patterns:
            return SourceError(
                f"No file of {what} is chosen by include and exclude.",
                hint="Their patterns are for whole paths.",
            )
        return SourceError(f"There are no files in {what}.")


def _file(row: RepoFile, name: str) -> SourceFile:
    size, digest = (row.size, row.blob_id) if row.lfs is None else (row.lfs.size, row.lfs.sha256)
    algorithm = "git-sha1" if row.lfs is None else "sha256"
    if not isinstance(size, int) or size < 0 or not _DIGESTS[algorithm].fullmatch(str(digest)):
        raise SourceError(f"The server does not say what is in {row.path} as a Hugging Face Hub does.")
    ranged = row.lfs is not None and size >= LARGE
    return SourceFile(name, size, digest, ranged=ranged, check=f"{algorithm}:{digest}")


def _entry(row: Row) -> Entry:
    if isinstance(row, RepoFile):
        return Entry(row.path, is_dir=False, size=row.size, modified=0)
    return Entry(row.path, is_dir=True, size=0, modified=0)


def _full(pin: _Pin, path: str, name: str) -> str:
    """The path in the repository of the file `name` of a plan."""
    return path if pin.single else joined(path, name)
