"""Which kinds of source there are. A kind's module is imported on first use: some need heavy libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from datasets.errors import SourceError
from datasets.sources.base import Option, Site, Source

SOURCES: Final[dict[str, str]] = {
    "local": "datasets.sources.local.source.LocalSource",
    "nfs": "datasets.sources.nfs.source.NfsSource",
    "s3": "datasets.sources.s3.source.S3Source",
    "http": "datasets.sources.http.source.HttpSource",
    "huggingface": "datasets.sources.huggingface.source.HuggingFaceSource",
}
FIRST: Final = "local"
"""What a form begins with."""


@dataclass(frozen=True)
class Kind:
    """One choice of the form."""

    kind: str
    label: str
    options: tuple[Option, ...] = ()


def kinds() -> list[Kind]:
    classes = [(kind, source_class(kind)) for kind in SOURCES]
    return [Kind(kind, source.label, source.options) for kind, source in classes]


def source_class(kind: str) -> type[Source]:
    """Raises SourceError for a kind that does not exist."""
    if kind not in SOURCES:
        raise SourceError(f"There is no source of kind {kind!r}.", hint=f"Kinds: {', '.join(SOURCES)}.")
    module, _, name = SOURCES[kind].rpartition(".")
    source_type: type[Source] = getattr(import_module(module), name)
    return source_type


def make(kind: str, options: Mapping[str, Any], site: Site) -> Source:
    """A source of `kind`. Does no I/O. Raises SourceError as `source_class` does."""
    return source_class(kind)(options, site)
