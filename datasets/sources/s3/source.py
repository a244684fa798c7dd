"""The kind `s3`: a bucket of Amazon S3 or of any server that speaks its protocol, or a prefix in one.

Names of objects become paths. Each content is pinned by its ETag when it is read, and
by its version as well where the plan knows it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets.errors import SourceError
from datasets.sources.base import Body, Option, Page, PendingFile, Site, Source, clean_path, make_plan, nothing_in
from datasets.sources.net.client import Web
from datasets.sources.net.sockets import Network
from datasets.sources.paths import blank_hint, quoted
from datasets.sources.s3.browsing import browse, modified
from datasets.sources.s3.client import Client
from datasets.sources.s3.contents import Contents, Pinned
from datasets.sources.s3.listing import alone, walk
from datasets.sources.s3.location import DEFAULT_REGION, Location, parse_location
from datasets.sources.s3.pages import Pages
from datasets.specs import Entry, Plan, SourceFile


@dataclass(frozen=True)
class _Bucket:
    location: Location
    client: Client
    contents: Contents
    pages: Pages
    web: Web


class S3Source(Source):
    kind: ClassVar[str] = "s3"
    label: ClassVar[str] = "S3 bucket"
    streams: ClassVar[int] = 16  # a server far away gives one slowly
    ahead: ClassVar[int] = 32  # a small object is waiting more than work
    options: ClassVar[tuple[Option, ...]] = (
        Option("bucket", "Bucket"),
        Option(
            "prefix",
            "Folder in the bucket",
            required=False,
            help="Such as models/llama. Empty: all of it.",
            exact=True,
            keeps_credentials=True,
        ),
        Option("endpoint", "Endpoint", required=False, help="Such as https://s3.example.com. Empty: Amazon's own."),
        Option("region", "Region", required=False, help=f"Empty: {DEFAULT_REGION}."),
        Option(
            "path_style",
            "Where the bucket is named",
            required=False,
            choices=(
                ("automatic", "Automatic: in the path, but for Amazon"),
                ("path", "In the path"),
                ("virtual", "In the host name"),
            ),
        ),
        Option("access_key", "Access key", required=False, help="Empty: ask without, for a public bucket."),
        Option("secret_key", "Secret key", required=False, secret=True),
        Option("session_token", "Session token", required=False, secret=True, help="For temporary keys only."),
    )

    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        self._options, self._endpoints = options, site.endpoints
        self._lock = threading.Lock()
        self._opened: _Bucket | None = None
        self._single: dict[str, bool] = {}

    def check(self) -> str:
        bucket = self._bucket
        at = bucket.location
        try:
            page = bucket.pages.page(at.prefix, limit=100)
        except SourceError as error:
            if at.virtual and at.endpoint and f"{at.bucket}.{at.endpoint.host}" in error.message:
                error.hint = f"{error.hint} Perhaps this server wants the bucket named in the path."
            raise
        objects = [item for item in page.get("Contents", []) if not str(item["Key"]).endswith("/")]
        where = f"{at.bucket}/{at.prefix}" if at.prefix else at.bucket
        if not objects:
            hint = blank_hint(at.prefix.removesuffix("/"))
            return f"{quoted(where)} at {at.server} can be listed: there is nothing in it yet. {hint}".rstrip()
        for item in objects:
            if item.get("StorageClass", "STANDARD") == "STANDARD":
                # Who may list may not be one who may read; and contents are signed for in another way.
                bucket.contents.head(str(item["Key"]), str(item["Key"]), 1)
                break
        more = " and more" if page.get("IsTruncated") else ""
        count = f"{len(objects)} {'object' if len(objects) == 1 else 'objects'}{more}"
        return f"{where} at {at.server} can be read: {count}."

    def entry(self, path: str) -> Entry:
        path, bucket = clean_path(path), self._bucket
        if not path:
            return Entry("", is_dir=True, size=0, modified=0)
        key = bucket.location.prefix + path
        if (head := bucket.client.head(key)) is not None:
            return Entry(path, is_dir=False, size=int(head["ContentLength"]), modified=modified(head))
        if bucket.pages.page(f"{key}/", limit=1).get("Contents"):
            return Entry(path, is_dir=True, size=0, modified=0)
        raise _missing(path)

    def list(self, path: str, after: str = "", limit: int = 200) -> Page:
        path, bucket = clean_path(path), self._bucket
        key = bucket.location.prefix + path
        entries, more, exists = browse(bucket.pages, f"{key}/" if path else key, path, after, limit)
        if path and not exists and not after:
            if bucket.client.head(key) is not None:
                raise SourceError(f"{path} is a file, not a folder.")
            raise _missing(path)
        return Page(tuple(entries), total=None if after or more else len(entries), next=more)

    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        path, bucket = clean_path(path), self._bucket
        key = bucket.location.prefix + path
        files, empty, left_out = walk(bucket.pages, bucket.client, f"{key}/" if path else key, beat)
        if path and (file := alone(bucket.client, key, bucket.location.prefix)) is not None:
            if files or empty:
                raise SourceError(f"{path} is a file and a folder at once.", hint="Choose something inside of it.")
            files = [file]
        if not files:
            raise nothing_in(path, left_out)
        return make_plan(self.kind, files, empty, origin=bucket.location.origin, left_out=left_out)

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        count = file.size - offset if length is None else length
        return self._bucket.contents.open(self._pinned(file, path), offset, count, verify=not file.check)

    def begin(self, file: SourceFile, path: str) -> PendingFile:
        request = self._bucket.contents.begin(self._pinned(file, path), 0, file.size, verify=not file.check)
        return PendingFile(request.body, request.close)

    def _pinned(self, file: SourceFile, path: str) -> Pinned:
        path = clean_path(path)
        key = self._bucket.location.prefix + path
        if path and not self._is_file(path, file.path):
            key = f"{key}/{file.path}"
        elif not path:
            key += file.path
        etag, _, version_id = file.version.partition(" ")
        return Pinned(key, file.path, file.size, etag, version_id)

    def read(self, path: str, limit: int) -> bytes:
        path, bucket = clean_path(path), self._bucket
        if not path:
            raise SourceError("The dataset is a folder, not a file.")
        return bucket.contents.head(bucket.location.prefix + path, path, limit)

    def abort(self) -> None:
        if self._opened is not None:
            self._opened.web.abort()

    def _is_file(self, path: str, name: str) -> bool:
        """Whether `name` in the plan of `path` is that file itself. A plan never has both."""
        if path.rpartition("/")[2] != name:
            return False
        if path not in self._single:
            self._single[path] = self._bucket.client.head(self._bucket.location.prefix + path) is not None
        return self._single[path]

    @property
    def _bucket(self) -> _Bucket:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    location, web = parse_location(self._options), Web(Network(self._endpoints))
                    client = Client(location, web)
                    contents = Contents(location, web, client.base)
                    self._opened = _Bucket(location, client, contents, Pages(contents, location.server), web)
        return self._opened


def _missing(path: str) -> SourceError:
    return SourceError(f"There is no {path} in this dataset.")
