"""The kind `http`: a file, an archive, or the files of a list, at a web server that an administrator allowed."""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol
from urllib.parse import unquote

from console.formats.text import decode
from datasets.errors import SourceError
from datasets.sources.archives import kinds
from datasets.sources.archives.spool import Spool
from datasets.sources.base import Body, Option, Page, Site, Source, clean_path, make_plan, nothing_in
from datasets.sources.http import filelist
from datasets.sources.http.archive import ArchiveFiles
from datasets.sources.http.filelist import Listed
from datasets.sources.http.listed import ListedFiles, below
from datasets.sources.net.client import Web
from datasets.sources.net.sockets import Network
from datasets.sources.net.url import Url, parse
from datasets.sources.paths import joined
from datasets.sources.sifting import sift
from datasets.sources.tree import Tree, inside, safe_name
from datasets.specs import Entry, LeftOut, Plan, SourceFile


class Files(Protocol):
    """What is at the address, whatever it is. Paths are those of the dataset.

    `fresh` is the tree as a plan wants it, of any size; `names` says whether a path is a file of it.
    """

    def check(self) -> str: ...
    def tree(self) -> Tree: ...
    def fresh(self, beat: Callable[[], None]) -> Tree: ...
    def names(self, path: str) -> bool: ...
    def sized(self, entries: Iterable[Entry]) -> tuple[Entry, ...]: ...
    def planned(self, path: str, entries: list[Entry], beat: Callable[[], None]) -> list[SourceFile]: ...
    def open(self, path: str, file: SourceFile, offset: int, length: int | None) -> Body: ...
    def read(self, path: str, limit: int) -> bytes: ...


class HttpSource(Source):
    kind: ClassVar[str] = "http"
    label: ClassVar[str] = "HTTP server"
    options: ClassVar[tuple[Option, ...]] = (
        Option("url", "Address", help="Address of a file, an archive (tar, zip), or the folder of a list's files."),
        Option(
            "list",
            "List of files",
            required=False,
            lines=True,
            exact=True,
            help="One file a line: path, size, SHA-256. Or where the server has such a list.",
        ),
        Option("username", "User name", required=False),
        Option("password", "Password", required=False, secret=True),
        Option("token", "Token", required=False, secret=True, help="Sent as a Bearer token, instead of a password."),
    )

    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        self._options = {name: str(value) for name, value in options.items()}
        self._site = site
        self._lock = threading.Lock()
        self._web: Web | None = None
        self._files: Files | None = None

    def check(self) -> str:
        return self._opened().check()

    def entry(self, path: str) -> Entry:
        path = clean_path(path)
        files = self._opened()
        [entry] = files.sized([files.tree().entry(path)])
        if entry.problem:
            raise SourceError(f"{path} cannot be read: it is {entry.problem}.")
        return entry

    def list(self, path: str, after: str = "", limit: int = 200) -> Page:
        files = self._opened()
        page = files.tree().page(clean_path(path), after, limit)
        return Page(files.sized(page.entries), page.total, page.next)

    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        path = clean_path(path)
        files = self._opened(again=True)
        entries, empty = files.fresh(beat).below(path)
        problems = [LeftOut(inside(path, entry.path), entry.problem) for entry in entries if entry.problem]
        entries = [entry for entry in entries if not entry.problem]
        if [entry.path for entry in entries] != [path]:  # else it is the one file that was asked for
            sifted = sift((inside(path, one.path) for one in entries), (inside(path, one) for one in empty), problems)
            entries = [entry for entry in entries if inside(path, entry.path) in sifted.kept]
            problems, empty = [*sifted.left_out], [*sifted.empty]
        source_files = [
            SourceFile(inside(path, file.path), file.size, file.version, file.executable, file.ranged, file.check)
            for file in files.planned(path, entries, beat)
        ]
        if not source_files:
            raise nothing_in(path, problems)
        origin = self._url().whole()
        if any(not file.version for file in source_files):
            # Nothing tells this content from the next one of the same size: no earlier copy may pass for it.
            origin = f"{origin} {secrets.token_hex(8)}"
        return make_plan(self.kind, source_files, empty, origin=origin, left_out=problems)

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        files = self._files or self._opened()
        path = clean_path(path)
        name = joined(path, file.path)
        if path and files.names(path):
            name = path  # the plan of a single file names it by its last part
        return files.open(name, file, offset, length)

    def read(self, path: str, limit: int) -> bytes:
        path = clean_path(path)
        files = self._opened()
        if files.tree().entry(path).is_dir:
            raise SourceError(f"{path or 'The dataset'} is a folder, not a file.")
        return files.read(path, limit)

    def abort(self) -> None:
        if self._web is not None:
            self._web.abort()

    def _opened(self, *, again: bool = False) -> Files:
        """What is at the address. `again`: not what is known from before, where it may have changed."""
        with self._lock:
            if self._files is None or again:
                self._files = self._connect()
            return self._files

    def _connect(self) -> Files:
        url = self._url()
        self._web = self._web or Web(Network(self._site.endpoints))
        self._web.network.require_host(url.host, url.port)
        credentials = self._credentials()
        if (text := self._options.get("list", "")).strip():
            rows = (
                self._rows_at(self._web, url, text, credentials) if filelist.is_address(text) else filelist.parse(text)
            )
            return ListedFiles(self._web, credentials, rows, below(url), str(url))
        name = safe_name(unquote(url.path.rpartition("/")[2]), "The address")
        if not name:
            raise SourceError(
                f"{url} is a folder, and web servers do not say what is in one.",
                hint="Give a list of its files, or the address of a file or an archive.",
            )
        if kind := kinds.unread(name):
            raise kinds.not_supported(name, kind)
        if kinds.by_name(name):
            return ArchiveFiles(self._web, url, name, credentials, Spool(self._site.spool))
        return ListedFiles(self._web, credentials, [Listed(name, None, "")], lambda _: url, str(url))

    def _rows_at(self, web: Web, url: Url, list_address: str, credentials: dict[str, str]) -> Sequence[Listed]:
        """Rows of the list at `list_address`, without its own: `sha256sum * > SHA256SUMS` hashes the list too early."""
        url_of = below(url)
        address = url_of("").joined(list_address.strip())
        web.network.require_host(address.host, address.port)
        own = credentials if address.origin == url.origin else {}
        content, _ = web.read(address, filelist.MAX_BYTES, "The list", credentials=own)
        try:
            text = decode(content)
        except UnicodeDecodeError as error:
            raise SourceError(f"The list at {address} is not text.", hint="Save it as UTF-8.") from error
        start = url_of("").path
        name = unquote(address.path.removeprefix(start)) if address.path.startswith(start) else ""
        rows = filelist.parse(text, name or unquote(address.path.rpartition("/")[2]))
        return [row for row in rows if row.path != name] or rows

    def _url(self) -> Url:
        return parse(self._options.get("url", "").strip())

    def _credentials(self) -> dict[str, str]:
        token, user = self._options.get("token", ""), self._options.get("username", "")
        password = self._options.get("password", "")
        if token and (user or password):
            raise SourceError("Give a token, or a user name and password, not both.", option="token")
        if token:
            if not token.isascii() or not token.isprintable() or " " in token:
                raise SourceError(
                    "The token has characters in it that no token has.", hint="Copy it again.", option="token"
                )
            return {"Authorization": f"Bearer {token}"}
        if not user:
            if password:
                raise SourceError("A password needs a user name.", option="username")
            return {}
        if ":" in user:
            raise SourceError("A user name for a web server has no colon in it.", option="username")
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
