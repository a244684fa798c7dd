"""The store of this node, the sources of datasets, and what they may reach, as the settings say."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from datasets import credentials, states
from datasets.models import Dataset, Round
from datasets.preheat.store.trees import Store
from datasets.sources import registry
from datasets.sources.base import Site, Source
from datasets.specs import Tree


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


def tree_of(job: Round) -> Tree | None:
    """The copy that a round published on this node; None before it is DONE, or when it was evicted since."""
    return tree(job.tree) if job.state == states.DONE else None


def tree(digest: str) -> Tree | None:
    """The published tree of that digest; None for "" and when it was evicted since."""
    return store().get(digest) if digest else None


def source_of(dataset: Dataset) -> Source:
    """Raises SourceError for a kind that this release does not have, or credentials that cannot be decrypted."""
    secrets = credentials.unseal(dataset.name, dataset.credentials)
    return registry.make(dataset.kind, {**dataset.options, **secrets}, site())
