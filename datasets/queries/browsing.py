"""Browsing a dataset: one page of a folder, with what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from datasets import wiring
from datasets.inspect.recognise import recognise
from datasets.models import Dataset
from datasets.sources.base import Page, clean_path
from datasets.specs import Entry, Recognised


@dataclass(frozen=True)
class Crumb:
    """One step of the way to a folder; the root's name is the dataset's."""

    name: str
    path: str


@dataclass(frozen=True)
class Listing:
    """One page of a folder, or the one file that `path` names (then `entries` holds just it)."""

    path: str
    is_dir: bool
    entries: tuple[Entry, ...]
    total: Annotated[int | None, "null when only a full listing could tell."]
    next: Annotated[str, "Ask again with after=next for the next page; empty on the last one."]
    recognised: Recognised
    breadcrumbs: tuple[Crumb, ...]


def browse(dataset: Dataset, path: str = "", *, after: str = "", limit: int = 200) -> Listing:
    """One page of a folder with what it is. Raises SourceError."""
    source, path = wiring.source_of(dataset), clean_path(path)
    here = source.entry(path)
    page = source.list(path, after, limit) if here.is_dir else Page((here,), 1, "")
    whole = None if after or page.next else page
    kind = recognise(source, path, here, whole)
    return Listing(path, here.is_dir, page.entries, page.total, page.next, kind, _crumbs(dataset.name, path))


def _crumbs(name: str, path: str) -> tuple[Crumb, ...]:
    parts = path.split("/") if path else []
    steps = [Crumb(part, "/".join(parts[:depth])) for depth, part in enumerate(parts, start=1)]
    return (Crumb(name, ""), *steps)
