"""What a page of a bucket shows of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from datasets.errors import SourceError
from datasets.sources.buckets.keys import path_of
from datasets.sources.buckets.listing import MAX_EMPTY_PAGES
from datasets.sources.buckets.pages import Pages
from datasets.specs import Entry


def browse(pages: Pages, prefix: str, path: str, after: str, limit: int) -> tuple[list[Entry], str, bool]:
    """Entries of the folder `path`, whose keys begin with `prefix`; the token of the next page; whether it is there.

    Keys that no plan would take are left out. So a page may show less than `limit`, but only the last one nothing.
    """
    for _ in range(MAX_EMPTY_PAGES):
        page = pages.page(prefix, delimiter="/", after=after, limit=min(limit, 1000))
        found = _entries(page, prefix, path)
        more = str(page.get("NextContinuationToken") or "") if page.get("IsTruncated") else ""
        there = bool(found or page.get("Contents"))
        if found or not more or more == after:
            return found, more if more != after else "", there
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
    entries = []
    rows = [(str(item["Prefix"]), item) for item in page.get("CommonPrefixes", [])]
    rows += [(str(item["Key"]), item) for item in page.get("Contents", [])]
    for key, item in rows:
        with suppress(SourceError):
            if name := path_of(key, prefix).removesuffix("/"):
                is_dir = key.endswith("/")
                size = 0 if is_dir else int(item.get("Size", 0))
                entries.append(Entry(f"{path}/{name}" if path else name, is_dir, size, modified(item)))
    return entries
