"""The members of an archive at a web server as files.

A zip, and a tar that is not packed, are read in place where the server gives parts. Everything else is fetched and
unpacked once, into the spool of the node, and read from there.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from console.formats.units import size_text
from datasets.errors import NotLookedInto, SourceChanged, SourceDamaged, SourceError
from datasets.sources.archives import kinds, tar
from datasets.sources.archives import zip as zips
from datasets.sources.archives.blob import Blob, FileBlob, RemoteBlob
from datasets.sources.archives.members import Members, NotAnArchive
from datasets.sources.archives.spool import Spool
from datasets.sources.archives.unpack import unpacked
from datasets.sources.base import Body, beginning
from datasets.sources.http.probe import Probed, probe
from datasets.sources.net.client import Web
from datasets.sources.net.url import Url
from datasets.sources.tree import Tree
from datasets.specs import Entry, SourceFile

LOOK_LIMIT = 256 << 20
"""Bytes of an archive that is fetched only because somebody looks into it."""
_PIECE = 1 << 20
_READERS: Final = {"tar": tar.members, "zip": zips.members}
_HASHES: Final = {"sha256", "sha1", "md5"}


@dataclass(frozen=True)
class _Opened:
    """An archive of one version, as far as it is known."""

    version: str
    kind: str
    blob: Blob
    members: Members
    tree: Tree
    offsets: zips.Offsets


class ArchiveFiles:
    """Serves many threads: the first one that needs the archive fetches it, the others wait."""

    def __init__(self, web: Web, url: Url, name: str, credentials: dict[str, str], spool: Spool) -> None:
        self._web, self._url, self._name, self._credentials, self._spool = web, url, name, credentials, spool
        self._kind, self._packing = kinds.by_name(name) or ("zip", "")
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def check(self) -> str:
        seen = self._probe()
        how = "the server gives parts of it" if seen.ranged else "the server gives it as a whole only"
        return f"{self._url} can be read: an archive of {size_text(seen.size)}; {how}."

    def tree(self) -> Tree:
        return self._current(lambda: None, limit=LOOK_LIMIT).tree

    def sized(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        return tuple(entries)

    def fresh(self, beat: Callable[[], None]) -> Tree:
        """The tree of what is at the server now."""
        with self._lock:
            return self._open(beat, None).tree

    def names(self, path: str) -> bool:
        return path in self._current(lambda: None).members.files

    def planned(self, path: str, entries: list[Entry], beat: Callable[[], None]) -> list[SourceFile]:
        """Raises SourceError when something below `path` may not be copied."""
        opened = self._current(beat)
        opened.members.require(path)
        source_files = []
        for entry in entries:
            member = opened.members.files[entry.path]
            source_files.append(
                SourceFile(
                    member.path,
                    member.size,
                    opened.version,
                    executable=member.executable,
                    ranged=not member.deflated,
                    check=member.check,
                )
            )
        return source_files

    def open(self, path: str, file: SourceFile, offset: int, length: int | None) -> Body:
        opened = self._current(lambda: None)
        if opened.version != file.version:
            with self._lock:
                opened = self._open(lambda: None, None)
        member = opened.members.files.get(path)
        if opened.version != file.version or member is None or member.size != file.size:
            raise SourceChanged(file.path)
        count = member.size - offset if length is None else length
        if opened.kind == "tar":
            return opened.blob.stream(member.offset + offset, count)
        if offset or count < member.size:
            return opened.offsets.stream(member, offset, count)
        return zips.MemberBody(member, opened.blob.stream(member.offset, member.room))

    def read(self, path: str, limit: int) -> bytes:
        opened = self._current(lambda: None, limit=LOOK_LIMIT)
        member = opened.members.files.get(path)
        if member is None:
            entry = opened.tree.entry(path)
            what = entry.problem or "a folder, not a file"
            raise SourceError(f"{path or 'The dataset'} is {what}.")
        file = SourceFile(path, member.size, opened.version)
        with closing(self.open(path, file, 0, None)) as body:
            return beginning(body, limit)

    def _current(self, beat: Callable[[], None], limit: int | None = None) -> _Opened:
        with self._lock:
            return self._opened or self._open(beat, limit)

    def _open(self, beat: Callable[[], None], limit: int | None) -> _Opened:
        """Looks at the server again. Keeps what is known of the same version."""
        seen = self._probe()
        if self._opened is not None and seen.version and self._opened.version == seen.version:
            return self._opened
        opened = self._in_place(seen) if seen.ranged and not self._packing else None
        if opened is None:
            blob, version = self._fetched(seen, beat, limit)
            beat()
            opened = self._read(version, blob)
        self._opened = opened
        return opened

    def _in_place(self, seen: Probed) -> _Opened | None:
        """None when it is packed, whatever its name says: then it has to be fetched."""
        blob = RemoteBlob(self._web, self._url, self._name, seen.size, seen.version, self._credentials)
        try:
            return self._read(seen.version, blob)
        except NotAnArchive:
            if kinds.packing_of(_head(blob)):
                return None
            raise

    def _read(self, version: str, blob: Blob) -> _Opened:
        """By the kind that the name says, or else by that which the first bytes say."""
        kind = self._kind
        try:
            members = _READERS[kind](blob, self._name)
        except NotAnArchive as error:
            head = _head(blob)
            if what := kinds.what_else(head):
                raise SourceError(
                    f"{self._name} is {what}.", hint="Check the address, and whether it needs a login."
                ) from error
            kind = kinds.kind_of(head)
            if kind in {"", self._kind}:
                raise
            members = _READERS[kind](blob, self._name)
        return _Opened(version, kind, blob, members, members.tree(), zips.Offsets(blob))

    def _probe(self) -> Probed:
        if self._packing == "zst":
            raise kinds.not_supported(self._name, "zstd")
        return probe(self._web, self._url, self._name, self._credentials, ranged_from=0)

    def _fetched(self, seen: Probed, beat: Callable[[], None], limit: int | None) -> tuple[Blob, str]:
        key = (self._url.whole(), seen.version, str(seen.size), self._packing) if seen.version else None
        if limit is not None and seen.size > limit and (key is None or not self._spool.has(key)):
            raise NotLookedInto(self._name)
        whole = hashlib.sha256()
        algorithm, _, expected = seen.check.partition(":")
        digest = hashlib.new(algorithm, usedforsecurity=False) if algorithm in _HASHES else None

        def parts() -> Iterator[bytes]:
            with self._web.part(
                self._url,
                self._name,
                seen.size,
                version=seen.version,
                credentials=self._credentials,
            ) as body:
                while part := body.read(_PIECE):
                    if digest is not None:
                        digest.update(part)
                    if key is None:
                        whole.update(part)
                    yield part
            if digest is not None and digest.hexdigest() != expected:
                raise SourceDamaged(self._name)

        file = self._spool.get(key, lambda: self._unpacked(parts()), beat)
        return FileBlob(file), seen.version or f"sha256:{whole.hexdigest()}"

    def _unpacked(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        """As the first bytes say: servers and people rename what they pack and unpack."""
        first = next(parts, b"")
        packing = kinds.packing_of(first)
        if packing == "zst":
            raise kinds.not_supported(self._name, "zstd")
        return unpacked(packing, itertools.chain([first], parts), self._name)


def _head(blob: Blob) -> bytes:
    with blob.stream(0, min(blob.size, kinds.HEAD)) as body:
        return body.readall() or b""
