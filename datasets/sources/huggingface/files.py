"""Bytes of the files of one repository at a commit: small ones from the Hub, large ones from the storage it points at.

The Hub answers for a large file with a signed address at a storage ("CDN") that is good for an hour or so. It is asked
once for each file, not for each part of one, and anew when the storage no longer takes the address.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import Body, beginning
from datasets.sources.huggingface.client import HubClient
from datasets.sources.net.client import Web
from datasets.sources.net.url import Url

_OID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass
class _Large:
    """Where a large file is. One thread at a time asks for it."""

    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class HubFiles:
    """Serves many threads. Raises SourceError; SourceChanged for another version than the one that was planned."""

    def __init__(self, web: Web, client: HubClient, home: Url, repository: str, token: str) -> None:
        self._web, self._client, self._home = web, client, home
        self.abort = web.abort
        self._credentials: Mapping[str, str] = {"Authorization": f"Bearer {token}"} if token else {}
        self._prefix = f"{home.target.rstrip('/')}/{repository}/resolve"
        self._large: dict[tuple[str, str], _Large] = {}

    def small(self, commit: str, path: str, size: int, oid: str) -> Body:
        """A whole file, by the shortest way. `oid`: its git object id or SHA-256."""
        url = self._url(commit, path)
        try:
            answer = self._web.open(url, credentials=self._credentials)
        except SourceError as error:
            raise self._explained(error, url, path) from error
        # The storage calls what it has by other names, so only the Hub's own answer tells.
        tag = _tag(answer.headers.get("ETag")) if answer.url.origin == self._home.origin else ""
        if answer.size not in {None, size} or (tag and tag != oid):
            answer.body.close()
            raise SourceChanged(path)
        answer.body.must_be(size, path)
        return answer.body

    def large(self, commit: str, path: str, size: int, oid: str, offset: int, length: int | None) -> Body:
        """A part of a file, or the whole."""
        large_file = self._large.setdefault((commit, path), _Large())
        address = large_file.address
        if address:
            try:
                return self._part(address, path, size, offset, length)
            except SourceChanged:
                raise
            except SourceError as error:
                if not error.permanent:
                    raise
        return self._part(self._located(large_file, address, commit, path, size, oid), path, size, offset, length)

    def beginning(self, commit: str, path: str, limit: int) -> bytes:
        """The first `limit` bytes of a file of any size."""
        url = self._url(commit, path)
        try:
            answer = self._web.open(url, {"Range": f"bytes=0-{limit - 1}"}, credentials=self._credentials)
        except SourceChanged:  # 416: there are no bytes at all in it
            return b""
        except SourceError as error:
            raise self._explained(error, url, path) from error
        with answer.body as body:
            return beginning(body, limit)

    def prove(self, commit: str, path: str) -> None:
        """Raises SourceError unless this token may read the file: listings are open where files are not."""
        self._client.metadata(self._url(commit, path).whole(), path)

    def _part(self, address: str, path: str, size: int, offset: int, length: int | None) -> Body:
        url = self._web.network.require(address)
        # A mirror may have the bytes itself; nobody else is told the token.
        credentials = self._credentials if url.origin == self._home.origin else {}
        return self._web.part(url, path, size, offset=offset, length=length, credentials=credentials)

    def _located(self, large_file: _Large, refused: str, commit: str, path: str, size: int, oid: str) -> str:
        """An address of the file other than the one that was refused ("" if none was)."""
        with large_file.lock:
            if large_file.address and large_file.address != refused:
                return large_file.address  # another thread has asked meanwhile
            metadata = self._client.metadata(self._url(commit, path).whole(), path)
            tag = _tag(metadata.etag)
            if (tag and tag != oid) or metadata.size not in {None, size}:
                raise SourceChanged(path)
            address = self._home.joined(metadata.location)
            if self._home.scheme == "https" and address.scheme == "http":
                raise SourceError(f"{self._home.authority} sends on to an address without TLS, {address.authority}.")
            large_file.address = address.whole()
            return large_file.address

    def _explained(self, error: SourceError, url: Url, path: str) -> SourceError:
        """What the Hub itself says of a refusal: its codes tell gated, private and missing apart, a status does not."""
        if not error.permanent or isinstance(error, SourceChanged):
            return error
        try:
            self._client.metadata(url.whole(), path)
        except SourceError as better:
            return better
        return error

    def _url(self, commit: str, path: str) -> Url:
        return self._home.with_target(f"{self._prefix}/{commit}/{quote(path)}")


def _tag(etag: str | None) -> str:
    """The object id in an ETag; "" where it is something else, as at some mirrors."""
    tag = (etag or "").removeprefix("W/").strip('"')
    return tag if _OID.fullmatch(tag) else ""
