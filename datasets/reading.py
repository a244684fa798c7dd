"""The read layer: browsing a dataset, and a round's progress in words. What changes anything is in actions.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from django.conf import settings

from datasets import credentials, states
from datasets.inspect.recognise import recognise
from datasets.models import Dataset, Round
from datasets.preheat.store.trees import Store
from datasets.sizes import duration_text, size_text
from datasets.sources import registry
from datasets.sources.base import Site, Source, clean_path
from datasets.specs import Entry, Recognised, Tree


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
    total: int | None
    next: str
    """What to ask for the next page with, "" on the last one."""
    recognised: Recognised
    breadcrumbs: tuple[Crumb, ...]


class Progress(TypedDict):
    """What a page or the API shows of a round. `percent` is below 100 until the round is DONE."""

    state: str
    percent: int
    bytes_done: int
    bytes_total: int
    bytes_copied: int
    files_done: int
    files_total: int
    bytes_per_second: float
    seconds_left: int | None
    sentence: str
    finished: bool


def allowed_roots() -> tuple[Path, ...]:
    """Directories that local datasets may lie in: the administrator's, and the samples of this installation."""
    return (*settings.DATASET_ROOTS, settings.HOME.samples)


def site() -> Site:
    """What sources may reach here."""
    return Site(
        allowed_roots(),
        endpoints=tuple(settings.DATASET_ENDPOINTS),
        spool=settings.HOME.spool,
        mounts=settings.HOME.mounts,
    )


def store() -> Store:
    return Store(settings.HOME.store)


def tree_of(round_: Round) -> Tree | None:
    """The copy that a round published on this node; None before it is DONE, or when it was evicted since."""
    return tree(round_.tree) if round_.state == states.DONE else None


def tree(digest: str) -> Tree | None:
    """The published tree of that digest; None for "" and when it was evicted since."""
    return store().get(digest) if digest else None


def source_of(dataset: Dataset) -> Source:
    """Raises SourceError for a kind that this release does not have, or credentials that cannot be decrypted."""
    secrets = credentials.unseal(dataset.name, dataset.credentials)
    return registry.make(dataset.kind, {**dataset.options, **secrets}, site())


def browse(dataset: Dataset, path: str = "", *, after: str = "", limit: int = 200) -> Listing:
    """One page of a folder with what it is. Raises SourceError."""
    source, path = source_of(dataset), clean_path(path)
    here = source.entry(path)
    entries: tuple[Entry, ...] = (here,)
    total: int | None = 1
    further = ""
    if here.is_dir:
        page = source.list(path, after, limit)
        entries, total, further = page.entries, page.total, page.next
    return Listing(path, here.is_dir, entries, total, further, recognise(source, path), _crumbs(dataset.name, path))


def _crumbs(name: str, path: str) -> tuple[Crumb, ...]:
    parts = path.split("/") if path else []
    steps = [Crumb(part, "/".join(parts[:depth])) for depth, part in enumerate(parts, start=1)]
    return (Crumb(name, ""), *steps)


def progress(round_: Round) -> Progress:
    left = max(0, round_.bytes_total - round_.bytes_done)
    copying = round_.state == states.COPYING
    seconds_left = round(left / round_.bytes_per_second) if copying and round_.bytes_per_second > 0 else None
    return Progress(
        state=round_.state,
        percent=_percent(round_),
        bytes_done=round_.bytes_done,
        bytes_total=round_.bytes_total,
        bytes_copied=round_.bytes_copied,
        files_done=round_.files_done,
        files_total=round_.files_total,
        bytes_per_second=round_.bytes_per_second if copying else 0.0,
        seconds_left=seconds_left,
        sentence=_sentence(round_, seconds_left),
        finished=round_.state in states.TERMINAL,
    )


def _percent(round_: Round) -> int:
    if round_.state == states.DONE:
        return 100
    if not round_.bytes_total:
        return 0
    return min(99, int(100 * round_.bytes_done / round_.bytes_total))


def _sentence(round_: Round, seconds_left: int | None) -> str:
    total = size_text(round_.bytes_total)
    if round_.state in {states.FAILED, states.CANCELLED}:
        return round_.message or round_.get_state_display()
    if round_.state == states.DONE:
        return _done_sentence(round_, total)
    if round_.cancel_requested:
        return "Being cancelled."
    if round_.state == states.PAUSED:
        return f"Paused at {size_text(round_.bytes_done)} of {total}." if round_.files_total else "Paused."
    if round_.pause_requested:
        return "Being paused."
    if round_.message:  # why it waits for its next attempt
        return round_.message
    if round_.state == states.PENDING:
        return "Waiting for a worker."
    if round_.state == states.VERIFYING:
        return f"All {total} are copied and are being verified."
    if not round_.files_total:
        return "Listing the files."
    said = f"{size_text(round_.bytes_done)} of {total}"
    if seconds_left is not None:
        said += f", {size_text(round_.bytes_per_second)}/s, {duration_text(seconds_left)} left"
    return said


def _done_sentence(round_: Round, total: str) -> str:
    files = f"{round_.files_total} {'file' if round_.files_total == 1 else 'files'}, {total}"
    if not round_.bytes_copied and round_.bytes_total:
        return f"{files}: already on this node, nothing was copied."
    if round_.started_at and round_.finished_at:
        took = duration_text((round_.finished_at - round_.started_at).total_seconds())
        return f"{files}: copied and verified in {took}."
    return f"{files}: copied and verified."
