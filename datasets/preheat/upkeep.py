"""What is done to the store between rounds: flushing, reading again, making room, saying what is in it. No Django."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from datasets.preheat.building import remove
from datasets.preheat.disk import flush
from datasets.preheat.store import Store
from datasets.preheat.verify import damaged_files


@dataclass(frozen=True)
class Kept:
    """One tree of the store. `frees` is how many bytes would become free without it; `used` in seconds since 1970."""

    digest: str
    bytes: int
    files: int
    used: float
    frees: int
    wanted: bool
    damage: str


def settle_doubtful(store: Store, check: Callable[[], None] = lambda: None) -> None:
    """Reads every tree that the machine went down with, before anything is built on it or on its contents."""
    for mark in list(store.children("unflushed")):
        if store.doubtful(mark.name) and not condemn(store, mark.name, check):
            flush(store.root)
            mark.unlink(missing_ok=True)


def settle(store: Store, check: Callable[[], None] = lambda: None) -> list[str]:
    """Brings every tree that is not flushed yet onto the disk. Digests of those that a crash of the machine damaged.

    A tree of an earlier start of the machine is read as a whole first.
    """
    marks = [mark.name for mark in store.children("unflushed")]
    lost = [digest for digest in marks if store.doubtful(digest) and condemn(store, digest, check)]
    if marks:
        flush(store.root)
    for digest in marks:
        if not store.damage(digest):
            (store.root / "unflushed" / digest).unlink(missing_ok=True)
    return lost


def condemn(store: Store, digest: str, check: Callable[[], None] = lambda: None) -> list[str]:
    """Reads a tree again. When files of it are damaged it is not given out any more, nor are those contents.

    Neither is any other tree that holds them. Returns what is wrong, a sentence a file.
    """
    manifest = store.manifest(digest)
    if manifest is None:
        store.mark_damaged(digest, ["There is no list of what it holds."])
        return ["The tree is not in the store."]
    found = damaged_files(store.root / "trees" / digest, manifest, check)
    if not found:
        return []
    problems = [sentence for _, sentence in found]
    store.mark_damaged(digest, problems)
    bad = {file.sha256 for file, _ in found if file is not None}
    for tree in store.children("trees"):
        other = store.manifest(tree.name)
        if tree.name != digest and other is not None and (shared := [f for f in other.files if f.sha256 in bad]):
            store.mark_damaged(tree.name, [f"{file.path} is not what was copied." for file in shared])
    for sha256 in bad:
        store.blob(sha256).unlink(missing_ok=True)
    return problems


def verify(store: Store, digest: str) -> list[str]:
    """Reads a whole tree again; sentences about what is wrong, empty when nothing is."""
    manifest = store.manifest(digest)
    if manifest is None:
        return ["The tree is not in the store."]
    if manifest.digest != digest:
        return ["The manifest is not the one that this tree was published with."]
    return [sentence for _, sentence in damaged_files(store.root / "trees" / digest, manifest)]


def least_recently_verified(store: Store) -> str | None:
    """Digest of the tree that was read as a whole the longest time ago."""
    trees = [tree.name for tree in store.children("trees") if not store.damage(tree.name)]
    return min(trees, key=lambda digest: (store.verified_at(digest), digest), default=None)


def kept(store: Store, wanted: Iterable[str]) -> list[Kept]:
    """Every tree, in the order in which they would be evicted: unwanted ones first, the longest unused first."""
    needed = set(wanted)
    manifests = {tree.name: store.manifest(tree.name) for tree in store.children("trees")}
    holders: dict[str, int] = {}
    for manifest in manifests.values():
        for sha256 in {file.sha256 for file in manifest.files} if manifest else ():
            holders[sha256] = holders.get(sha256, 0) + 1
    rows = []
    for digest, manifest in manifests.items():
        sizes = {file.sha256: file.size for file in manifest.files} if manifest else {}
        rows.append(Kept(
            digest, bytes=manifest.total_bytes if manifest else 0, files=len(manifest.files) if manifest else 0,
            used=_used(store.root / "trees" / digest), wanted=digest in needed, damage=store.damage(digest),
            frees=sum(size for sha256, size in sizes.items() if holders[sha256] == 1),
        ))
    return sorted(rows, key=lambda row: (row.wanted, row.used, row.digest))


def used_bytes(store: Store) -> int:
    """Bytes of the contents of the store, each once."""
    return sum(blob.stat().st_size for folder in store.children("blobs") for blob in folder.iterdir())


def evict(store: Store, keep: set[str], *, not_used_since: float) -> list[str]:
    """Removes trees that are not in `keep` and were last asked for before that time (seconds since 1970).

    Returns their digests. Contents that no tree uses any more go too.
    """
    gone = []
    for tree in list(store.children("trees")):
        if tree.name not in keep and _used(tree) < not_used_since:
            _drop(store, tree)
            gone.append(tree.name)
    clear(store, not_used_since)
    return gone


def make_room(store: Store, keep: set[str], need: int, *, grace: float, now: float) -> list[str]:
    """Removes unwanted trees, the longest unused first, until `need` bytes became free. Their digests.

    None that was asked for in the last `grace` seconds: somebody is about to use it.
    """
    gone = []
    for row in kept(store, keep):
        if need <= 0 or row.wanted or row.used > now - grace:
            break
        _drop(store, store.root / "trees" / row.digest)
        gone.append(row.digest)
        need -= row.frees
    if gone:
        clear(store, now)
    return gone


def clear(store: Store, not_used_since: float) -> None:
    """Removes contents that no tree uses, and what is left of removed trees."""
    for entry in store.children("trash"):
        remove(entry)
    for folder in store.children("blobs"):
        for blob in list(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                info = blob.stat()
                # One link is the blob's own name. A part that is being published still holds a second one.
                if info.st_nlink == 1 and info.st_ctime < not_used_since:
                    blob.unlink()
    trees = {tree.name for tree in store.children("trees")}
    for note in [*store.children("fingerprints"), *store.children("contents")]:
        with contextlib.suppress(FileNotFoundError):
            led_to = store.digest_of(note.name) if note.parent.name == "fingerprints" else ""
            if note.stat().st_mtime < not_used_since and led_to not in trees:
                note.unlink()


def _drop(store: Store, tree: Path) -> None:
    manifest = store.manifest(tree.name)
    store.retire(tree)
    for file in manifest.files if manifest else ():
        blob = store.blob(file.sha256)
        with contextlib.suppress(FileNotFoundError):
            if blob.stat().st_nlink == 1:  # no other tree has it, nor a part that is about to be published
                blob.unlink()
    for report in store.root.glob(f"reports/{tree.name}-*"):
        report.unlink(missing_ok=True)
    for name in (f"manifests/{tree.name}.json", f"unflushed/{tree.name}", f"damaged/{tree.name}"):
        (store.root / name).unlink(missing_ok=True)


def _used(tree: Path) -> float:
    try:
        return tree.stat().st_mtime
    except FileNotFoundError:
        return 0.0
