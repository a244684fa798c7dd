"""What tests of the store share: a publication as a round does it, and a disk that rots."""

from __future__ import annotations

from typing import Any

from datasets.preheat.copying.copy import copy
from datasets.preheat.journal import key_of
from datasets.preheat.store.trees import Store, make_manifest
from datasets.sources.local.source import LocalSource
from datasets.specs import Tree


def publish(source: LocalSource, store: Store, path: str, name: str = "1", **options: Any) -> Tree:
    plan = source.plan(path)
    with store.staging(name) as staging:
        manifest = make_manifest(copy(plan, source, path, staging), plan.empty_dirs)
        parts = {file.path: staging.part(key_of(file)) for file in plan.files}
        return store.publish(staging, parts, manifest, fingerprint=plan.fingerprint, **options)


def visible(store: Store) -> list[str]:
    folder = store.root / "trees"
    return [entry.name for entry in folder.iterdir()] if folder.exists() else []


def rot(tree: Tree) -> None:
    """Damages a file of a tree, and every other one that shares its content."""
    victim = tree.path / "1" / "weights.bin"
    victim.chmod(0o644)
    victim.write_bytes(bytes(256_000))
