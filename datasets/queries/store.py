"""What is in the store of this node: how much, from where, who needs it, and what would be evicted next.

The store is a directory of the machine that this process runs on; of other nodes' stores nothing is known here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from django.conf import settings

from datasets import states, wiring
from datasets.models import Round
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import Store
from datasets.signals import trees_used, trees_wanted

KEEPS = timedelta(days=7)
"""How long model files that no service needs stay in the store, counted from when they were last asked for."""
GRACE = 600.0
"""Seconds for which a tree stays whatever happens: whoever asked for it is about to say that it needs it."""


def needed_trees() -> set[str]:
    """Digests of the trees that somebody still needs."""
    kept_trees: set[str] = set()
    for _, digests in trees_wanted.send(None):
        kept_trees |= set(digests or ())
    return kept_trees


@dataclass(frozen=True)
class Origin:
    """Where a tree was copied from."""

    dataset: str
    team: str
    path: str
    round: Annotated[int, "The newest round that gave these files."]


@dataclass(frozen=True)
class StoredTree:
    """One tree. Times are seconds since 1970, 0 when not known; sizes are bytes. `needed`: it is never evicted."""

    digest: Annotated[str, "SHA-256 over names, sizes and digests of all files."]
    bytes: int
    files: int
    frees: Annotated[int, "Bytes that no other tree shares."]
    used: Annotated[float, "When it was last used, in seconds since the epoch."]
    verified: Annotated[float, "When every byte was last read and was right; 0 when not known."]
    needed: bool
    users: Annotated[tuple[str, ...], "Services."]
    origins: tuple[Origin, ...]
    damage: Annotated[tuple[str, ...], "What the last reading found wrong."]
    to_verify: Annotated[bool, "It is being read again, or will be: one tree at a time is."]

    @property
    def leaves(self) -> float:
        """When it is evicted, unless it is used again; 0 for a tree in use."""
        return 0.0 if self.needed else self.used + KEEPS.total_seconds()


@dataclass(frozen=True)
class StoreUse:
    """Bytes. `trees` in the order of their eviction."""

    node: str
    used: Annotated[int, "By contents, each once."]
    quota: Annotated[int, "0: none."]
    disk_total: int
    disk_free: int
    trees: tuple[StoredTree, ...]

    @property
    def unwanted(self) -> tuple[StoredTree, ...]:
        return tuple(tree for tree in self.trees if not tree.needed)

    @property
    def next(self) -> StoredTree | None:
        """What goes first when room is needed."""
        return next(iter(self.unwanted), None)

    @property
    def damaged(self) -> int:
        return sum(bool(tree.damage) for tree in self.trees)


def read() -> StoreUse:
    """Looks at the disk: a few milliseconds for each thousand files in the store."""
    store = wiring.store()
    disk = shutil.disk_usage(store.make())
    return StoreUse(
        settings.NODE_NAME, upkeep.used_bytes(store), settings.STORE_QUOTA_BYTES, disk.total, disk.free, _trees(store)
    )


def users_of(digests: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Digest -> names of what needs the tree, as the other apps say."""
    named: dict[str, set[str]] = {digest: set() for digest in digests}
    for _, answer in trees_used.send(None):
        answered: Any = answer or {}
        for digest, names in answered.items():
            if digest in named:
                named[digest] |= set(names)
    return {digest: tuple(sorted(names)) for digest, names in named.items()}


def _trees(store: Store) -> tuple[StoredTree, ...]:
    rows = upkeep.kept(store, needed_trees())
    digests = [row.digest for row in rows]
    users, origins = users_of(digests), _origins(digests)
    to_verify = set(upkeep.to_verify(store))
    return tuple(
        StoredTree(
            row.digest,
            row.bytes,
            row.files,
            row.frees,
            row.used,
            store.verified_at(row.digest),
            row.needed,
            users[row.digest],
            origins.get(row.digest, ()),
            tuple(row.damage.splitlines()),
            row.digest in to_verify,
        )
        for row in rows
    )


def _origins(digests: list[str]) -> dict[str, tuple[Origin, ...]]:
    origins: dict[str, dict[tuple[str, str], Origin]] = {}
    done = Round.objects.filter(state=states.DONE, node=settings.NODE_NAME, tree__in=digests)
    rows = done.order_by("-id").values_list("tree", "dataset__name", "dataset__team__name", "path", "pk")
    for digest, dataset, team, path, pk in rows:
        origins.setdefault(digest, {}).setdefault((dataset, path), Origin(dataset, team, path, pk))
    return {digest: tuple(places.values()) for digest, places in origins.items()}
