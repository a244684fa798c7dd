"""What a page of a bucket shows of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from datasets.sources.paths import joined
from datasets.sources.s3.keys import fault_of, shown
from datasets.sources.s3.listing import MAX_EMPTY_PAGES
from datasets.sources.s3.pages import Pages
from datasets.specs import Entry

NAMELESS = "(no name)"
"""What stands between two slashes in a row."""


def browse(pages: Pages, prefix: str, path: str, after: str, limit: int) -> tuple[list[Entry], str, bool]:
    """Entries of the folder `path`, whose keys begin with `prefix`; the token of the next page; whether it is there.

    A page may show less than `limit`, but only the last one nothing.
    """
    for _ in range(MAX_EMPTY_PAGES):
        page = pages.page(prefix, delimiter="/", after=after, limit=min(limit, 1000))
        entries = _entries(page, prefix, path)
        more = str(page.get("NextContinuationToken") or "") if page.get("IsTruncated") else ""
        exists = bool(entries or page.get("Contents"))
        if entries or not more or more == after:
            return entries, more if more != after else "", exists
        after = more
    return [], "", False


def modified(item: Mapping[str, Any]) -> float:
    """Seconds since the epoch; 0 when the server does not say. Listings have it in ISO 8601, headers as HTTP has."""
    text = str(item.get("LastModified") or "")
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError):
            return parse(text).timestamp()
    return 0.0


def _entries(page: Mapping[str, Any], prefix: str, path: str) -> list[Entry]:
    rows = [(str(item["Prefix"]), item) for item in page.get("CommonPrefixes", [])]
    rows += [(str(item["Key"]), item) for item in page.get("Contents", [])]
    inside = ((key.removeprefix(prefix), item) for key, item in rows if key.startswith(prefix))
    return [entry for name, item in inside if (entry := _entry(name, item, path)) is not None]


def _entry(name: str, item: Mapping[str, Any], path: str) -> Entry | None:
    """None for the marker of the folder itself. A key that no folder may hold is shown as that."""
    if not name:
        return None
    is_dir, fault = name.endswith("/"), fault_of(name)
    size = 0 if is_dir else int(item.get("Size", 0))
    name = shown(name.removesuffix("/")) or NAMELESS if fault else name.removesuffix("/")
    problem = f"a key that {fault}" if fault else ""
    return Entry(joined(path, name), is_dir, size, modified(item), problem)
