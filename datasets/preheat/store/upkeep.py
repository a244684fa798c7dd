"""What is done to the store between rounds: flushing, reading again, making room, saying what is in it. No Django."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from console.files import take_lock
from datasets.preheat.disk import flush
from datasets.preheat.store.building import remove
from datasets.preheat.store.trees import Store
from datasets.preheat.store.verify import damaged_files
from datasets.specs import StoredFile


@dataclass(frozen=True)
class Kept:
    """One tree of the store. `frees` is how many bytes would become free without it; `used` in seconds since 1970."""

    digest: str
    bytes: int
    files: int
    used: float
    frees: int
    needed: bool
    damage: str


def settle_doubtful(store: Store, check: Callable[[], None] = lambda: None) -> None:
    """Reads every tree that the machine went down with, before anything is built on it or on its contents."""
    for digest, written in _unflushed(store).items():
        if store.doubtful(digest) and not condemn(store, digest, check):
            flush(store.root)
            _flushed(store, digest, written)


def settle(store: Store, check: Callable[[], None] = lambda: None) -> list[str]:
    """Brings every tree that is not flushed yet onto the disk. Digests of those that a crash of the machine damaged.

    A tree of an earlier start of the machine is read as a whole first.
    """
    marks = _unflushed(store)
    lost = [digest for digest in marks if store.doubtful(digest) and condemn(store, digest, check)]
    if marks:
        flush(store.root)
    for digest, written in marks.items():
        _flushed(store, digest, written)
    return lost


def _unflushed(store: Store) -> dict[str, int]:
    """Digests of trees that may not be on the disk, and when each mark was written."""
    marks = {}
    for mark in store.children("unflushed"):
        with suppress(FileNotFoundError):
            marks[mark.name] = mark.stat().st_mtime_ns
    return marks


def _flushed(store: Store, digest: str, written: int) -> None:
    """Removes the mark that was there before flushing, not that of a tree which was published since."""
    mark = store.root / "unflushed" / digest
    with store.lock(), suppress(FileNotFoundError):
        if mark.stat().st_mtime_ns == written and not store.damage(digest):
            mark.unlink()


def condemn(store: Store, digest: str, check: Callable[[], None] = lambda: None) -> list[str]:
    """Read a tree again. A tree with damaged files is no longer given out, nor are those contents.

    Neither is any other tree that holds them. Returns what is wrong, a sentence a file; nothing of a tree that went, or
    was replaced, while it was read.
    """
    with _watched(store.root / "trees" / digest) as is_same:
        manifest = store.manifest(digest)
        if manifest is None:
            damage: list[tuple[StoredFile | None, str]] = [(None, "There is no list of what it holds.")]
        else:
            damage = damaged_files(store.root / "trees" / digest, manifest, check)
        if not damage:
            return []
        problems = [sentence for _, sentence in damage]
        bad = {file.sha256 for file, _ in damage if file is not None}
        sharing = _holders(store, bad) if bad else {}
        with store.lock():
            if not is_same():
                return []
            for other, shared in sharing.items():
                store.mark_damaged(other, [f"{file.path} is not what was copied." for file in shared])
            store.mark_damaged(digest, problems)
            for sha256 in bad:
                store.blob(sha256).unlink(missing_ok=True)
    return problems


@contextmanager
def _watched(tree: Path) -> Iterator[Callable[[], bool]]:
    """Says, also later, whether the tree that is here now still is: not gone, and no other one in its place."""
    try:
        descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield lambda: False
        return

    def is_same() -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), tree.stat())
        except FileNotFoundError:
            return False

    try:
        yield is_same  # while its directory is open, no other one gets its number
    finally:
        os.close(descriptor)


def _holders(store: Store, contents: set[str]) -> dict[str, list[StoredFile]]:
    """Digests of trees that hold one of these contents, each with its files of them."""
    manifests = {tree.name: store.manifest(tree.name) for tree in store.children("trees")}
    held = {digest: [f for f in m.files if f.sha256 in contents] for digest, m in manifests.items() if m is not None}
    return {digest: files for digest, files in held.items() if files}


def ask_to_verify(store: Store, digest: str) -> None:
    """Mark a tree to be read again by the next reader, also after a crash."""
    folder = store.root / "to-verify"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / digest).touch(exist_ok=True)


def to_verify(store: Store) -> list[str]:
    """Digests of the trees that are to be read again, the one that was asked for first at the front."""
    marks = []
    for mark in store.children("to-verify"):
        with suppress(FileNotFoundError):
            marks.append((mark.stat().st_mtime, mark.name))
    return [digest for _, digest in sorted(marks)]


def note_read(store: Store, digest: str) -> None:
    (store.root / "to-verify" / digest).unlink(missing_ok=True)


@contextmanager
def only_reader(store: Store) -> Iterator[bool]:
    """Whether nobody else on this machine reads trees again; nobody begins to, inside of the context."""
    with (store.make() / "reading").open("w") as file:
        yield take_lock(file.fileno())


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


def kept(store: Store, needed_digests: Iterable[str]) -> list[Kept]:
    """Every tree, in the order in which they would be evicted: unwanted ones first, the longest unused first."""
    needed = set(needed_digests)
    manifests = {tree.name: store.manifest(tree.name) for tree in store.children("trees")}
    holders: dict[str, int] = {}
    for manifest in manifests.values():
        for sha256 in {file.sha256 for file in manifest.files} if manifest else ():
            holders[sha256] = holders.get(sha256, 0) + 1
    rows = []
    for digest, manifest in manifests.items():
        sizes = {file.sha256: file.size for file in manifest.files} if manifest else {}
        rows.append(
            Kept(
                digest,
                bytes=manifest.total_bytes if manifest else 0,
                files=len(manifest.files) if manifest else 0,
                used=_used(store.root / "trees" / digest),
                needed=digest in needed,
                damage=store.damage(digest),
                frees=sum(size for sha256, size in sizes.items() if holders[sha256] == 1),
            )
        )
    return sorted(rows, key=lambda row: (row.needed, row.used, row.digest))


def used_bytes(store: Store) -> int:
    """Bytes of the contents of the store, each once."""
    used = 0
    for folder in store.children("blobs"):
        for blob in folder.iterdir():
            with suppress(FileNotFoundError):  # evicted meanwhile
                used += blob.stat().st_size
    return used


def evict(store: Store, keep: set[str], *, not_used_since: float) -> list[str]:
    """Removes trees that are not in `keep` and were last asked for before that time (seconds since 1970).

    Returns their digests. Contents that no tree uses go too.
    """
    gone = []
    for tree in list(store.children("trees")):
        if tree.name not in keep and _drop(store, tree.name, not_used_since):
            gone.append(tree.name)
    clear(store, not_used_since)
    return gone


def make_room(store: Store, keep: set[str], need: int, *, grace: float, now: float) -> list[str]:
    """Removes unwanted trees, the longest unused first, until `need` bytes became free. Their digests.

    None that was asked for in the last `grace` seconds: somebody is about to use it.
    """
    gone = []
    for row in kept(store, keep):
        if need <= 0 or row.needed or row.used > now - grace:
            break
        if _drop(store, row.digest, now - grace):
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
            with suppress(FileNotFoundError):
                info = blob.stat()
                # One link is the blob's own name. A part that is being published still holds a second one.
                if info.st_nlink == 1 and info.st_ctime < not_used_since:
                    blob.unlink()
    trees = {tree.name for tree in store.children("trees")}
    for note in [*store.children("fingerprints"), *store.children("contents")]:
        with store.lock(), suppress(FileNotFoundError):
            led_to = store.digest_of(note.name) if note.parent.name == "fingerprints" else ""
            if note.stat().st_mtime < not_used_since and led_to not in trees:
                note.unlink()


def _drop(store: Store, digest: str, not_used_since: float) -> bool:
    """Removes one tree. False when somebody asked for it since, or it is gone."""
    tree = store.root / "trees" / digest
    if not _is_unused(tree, not_used_since):
        return False
    manifest = store.manifest(digest)
    with store.lock():
        if not _is_unused(tree, not_used_since):
            return False
        retired = store.retire(digest)
        for name in (f"manifests/{digest}.json", f"unflushed/{digest}", f"damaged/{digest}"):
            (store.root / name).unlink(missing_ok=True)
    remove(retired)
    for file in manifest.files if manifest else ():
        blob = store.blob(file.sha256)
        with suppress(FileNotFoundError):
            if blob.stat().st_nlink == 1:  # no other tree has it, nor a part that is about to be published
                blob.unlink()
    for report in store.root.glob(f"reports/{digest}-*"):
        report.unlink(missing_ok=True)
    return True


def _is_unused(tree: Path, not_used_since: float) -> bool:
    return tree.is_dir() and _used(tree) < not_used_since


def _used(tree: Path) -> float:
    try:
        return tree.stat().st_mtime
    except FileNotFoundError:
        return 0.0
