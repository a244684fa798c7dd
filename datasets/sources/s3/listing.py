"""Everything below a prefix, page by page, as files of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from datasets import leftovers
from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import MAX_FILES, too_many_files
from datasets.sources.s3.checksums import said_of
from datasets.sources.s3.client import Client
from datasets.sources.s3.keys import Folders, path_of, shown
from datasets.sources.s3.pages import Pages, likely_next
from datasets.specs import LeftOut, SourceFile

LARGE: Final = 16 << 20
"""From this size on, in bytes, the server is asked what it knows of an object: such a one is read in parts, and the
answer to a part says nothing of the whole."""
MAX_EMPTY_PAGES: Final = 1000
"""Servers may send pages with nothing on them, where much was deleted; but not for ever."""
_ARCHIVED: Final = {"GLACIER", "DEEP_ARCHIVE"}
_ASKED_AT_ONCE: Final = 8


def objects(pages: Pages, prefix: str, beat: Callable[[], None]) -> Iterator[Mapping[str, Any]]:
    """Every object below `prefix`. Raises SourceError for a listing that does not end, and for one that is too long."""
    seen, count, empty = set[str](), 0, 0
    with ThreadPoolExecutor(1) as ahead:  # the server makes the next page while this one is read
        pending = ahead.submit(pages.text, prefix)
        while True:
            beat()
            text = pending.result()
            if (likely := likely_next(text)) and likely not in seen:
                pending = ahead.submit(pages.text, prefix, after=likely)
            page = pages.read(text)
            rows = page["Contents"]
            count += len(rows)
            empty = 0 if rows else empty + 1
            if count > 2 * MAX_FILES or empty > MAX_EMPTY_PAGES:
                raise _endless(prefix)
            more = page["NextContinuationToken"] if page["IsTruncated"] else ""
            if page["IsTruncated"] and (not more or more in seen):
                raise _endless(prefix)
            if more:
                seen.add(more)
                if more != likely:
                    pending = ahead.submit(pages.text, prefix, after=more)
            yield from rows
            if not more:
                return


def walk(
    pages: Pages, client: Client, prefix: str, beat: Callable[[], None]
) -> tuple[list[SourceFile], list[str], list[LeftOut]]:
    """The files below `prefix`, with what the server says of the large ones; the empty folders; what is left out."""
    folders = Folders()
    files: list[SourceFile] = []
    left_out: dict[str, str] = {}
    keys: dict[int, str] = {}  # index of a file -> its key
    for item in objects(pages, prefix, beat):
        key, size = str(item["Key"]), int(item.get("Size", 0))
        path = path_of(key, prefix)
        top, reason = leftovers.top(path)
        if reason:
            left_out[top] = reason
            if folder := top.rpartition("/")[0]:
                folders.marker(folder)
            continue
        if not path or path.endswith("/"):
            if size:
                raise SourceError(
                    f"{shown(key)} has the name of a folder and {size} bytes in it; no disk can hold that.",
                    hint="Remove or rename the object.",
                )
            if path:
                folders.marker(path[:-1])
            continue
        if len(files) >= MAX_FILES:
            raise too_many_files(MAX_FILES)
        folders.file(path)
        if size >= LARGE or item.get("StorageClass") in _ARCHIVED:
            keys[len(files)] = key
        files.append(SourceFile(path, size, etag_of(item, key), ranged=True))
    empty = folders.empty()
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        jobs = {index: pool.submit(described, client, key, files[index]) for index, key in keys.items()}
        try:
            for index, job in jobs.items():
                files[index] = job.result()
                beat()
        finally:
            pool.shutdown(cancel_futures=True)
    return files, empty, [LeftOut(path, reason) for path, reason in left_out.items()]


def alone(client: Client, key: str, prefix: str) -> SourceFile | None:
    """The one object with exactly this key, under its own name; None if it is missing."""
    if (head := client.head(key)) is None:
        return None
    path = path_of(key, prefix)
    file = SourceFile(path.rpartition("/")[2], int(head["ContentLength"]), etag_of(head, key), ranged=True)
    return _with_metadata(file, head, key)


def described(client: Client, key: str, file: SourceFile) -> SourceFile:
    """`file` with its checksum and the version that a GET can be pinned to. Raises SourceError if it is archived."""
    head = client.head(key)
    if head is None or etag_of(head, key) != file.version or int(head.get("ContentLength", -1)) != file.size:
        raise SourceChanged(file.path)
    return _with_metadata(file, head, key)


def _with_metadata(file: SourceFile, head: Mapping[str, Any], key: str) -> SourceFile:
    """As `described`, from what HeadObject said."""
    restored = 'ongoing-request="false"' in str(head.get("Restore", ""))
    if (head.get("StorageClass") in _ARCHIVED or head.get("ArchiveStatus")) and not restored:
        raise SourceError(
            f"{shown(key)} is archived ({head.get('StorageClass')}), and cannot be read as it is.",
            hint="Restore it at the server first, or choose a folder without it.",
        )
    version_id = str(head.get("VersionId") or "")
    version = f"{file.version} {version_id}" if version_id not in {"", "null"} else file.version
    return replace(file, version=version, check=said_of(head["ResponseMetadata"]["HTTPHeaders"]))


def etag_of(item: Mapping[str, Any], key: str) -> str:
    """With its quotes, which some servers leave out of listings."""
    etag = str(item.get("ETag") or "").strip('"')
    if not etag or " " in etag or not etag.isascii() or not etag.isprintable():
        raise SourceError(f"The server gives no ETag for {shown(key)}, so nothing says whether it changed meanwhile.")
    return f'"{etag}"'


def _endless(prefix: str) -> SourceError:
    return SourceError(
        f"The server lists {shown(prefix) if prefix else 'the bucket'} without end.",
        hint="Is it an S3 server?",
        refused="endless",
    )
