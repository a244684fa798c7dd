"""The store of this node: complete, verified copies of model paths, named by what they hold. No Django.

    blobs/<aa>/<sha256>        every content once, read-only
    trees/<digest>/            the files as a server reads them: hard links to blobs
    manifests/<digest>.json    what the tree holds; written before the tree appears
    fingerprints/<fingerprint> digest of the tree that a plan became
    staging/<round>/           see journal.py
    trash/                     trees on their way out

A tree appears by one rename of a complete directory. What is half-made is never under `trees/`.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from console.files import replace
from datasets.errors import PreheatError
from datasets.preheat.journal import Busy, Staging
from datasets.preheat.verify import sha256_of, verify_tree
from datasets.specs import Manifest, StoredFile, Tree


def make_manifest(files: tuple[StoredFile, ...], empty_dirs: tuple[str, ...] = ()) -> Manifest:
    """The manifest of these files, sorted; its digest depends on names and content only."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    folders = tuple(sorted(empty_dirs))
    lines = [[[file.path, file.size, file.sha256] for file in ordered], list(folders)]
    return Manifest(ordered, hashlib.sha256(json.dumps(lines).encode()).hexdigest(), folders)


class Store:
    """`root` is `home.store`. The constructor does no I/O; folders are made when they are needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self) -> Path:
        """Makes the directory itself; nobody but the console's own user may look into it."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.root

    def staging(self, name: str) -> Staging:
        return Staging(self.root / "staging" / name)

    def staging_names(self) -> list[str]:
        folder = self.root / "staging"
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def is_held(self, name: str) -> bool:
        """Whether a living process works in this staging directory."""
        if not (self.root / "staging" / name).is_dir():
            return False
        try:
            with self.staging(name):
                return False
        except Busy:
            return True

    def discard_staging(self, name: str) -> None:
        """Removes a staging directory. Raises Busy while a process holds it."""
        directory = self.root / "staging" / name
        if not directory.exists():
            return
        with self.staging(name):
            _remove(directory)

    def get(self, digest: str) -> Tree | None:
        """The tree of this digest; None when it is not here, or files of it are gone or have another size."""
        manifest = self.manifest(digest)
        if manifest is None or manifest.digest != digest:
            return None
        path = self._tree(digest)
        for file in manifest.files:
            try:
                if (path / file.path).lstat().st_size != file.size:
                    return None
            except OSError:
                return None
        return Tree(digest, path, manifest.total_bytes, len(manifest.files))

    def manifest(self, digest: str) -> Manifest | None:
        """The manifest of a tree that is here."""
        if not digest or not self._tree(digest).is_dir():
            return None
        try:
            found = json.loads((self.root / "manifests" / f"{digest}.json").read_text(encoding="utf-8"))
            files = tuple(StoredFile(path, size, sha256) for path, size, sha256 in found["files"])
            return make_manifest(files, tuple(found["empty_dirs"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def find(self, fingerprint: str) -> Tree | None:
        """The tree that a plan with this fingerprint became, if it is still here."""
        try:
            digest = (self.root / "fingerprints" / fingerprint).read_text(encoding="ascii").strip()
        except OSError:
            return None
        if (tree := self.get(digest)) is not None:
            self._touch(digest)
        return tree

    def publish(
        self, staging: Staging, parts: dict[str, Path], manifest: Manifest, *, fingerprint: str,
        check: Callable[[], None] = lambda: None,
    ) -> Tree:
        """Makes verified parts (path in the tree -> file) a tree. May be repeated after a crash at any step.

        `check` is called before anything becomes visible, and may raise.
        """
        if self.get(manifest.digest) is None:
            _remove(staging.tree)
            for folder in manifest.empty_dirs:
                (staging.tree / folder).mkdir(parents=True, exist_ok=True)
            for file in manifest.files:
                self._place(parts[file.path], file, staging.tree / file.path)
            _make_read_only(staging.tree)
            _flush(self.root)
            check()
            self._write(self.root / "manifests" / f"{manifest.digest}.json", _dump(manifest))
            self._reveal(staging.tree, manifest.digest)
        check()
        self._touch(manifest.digest)
        self._write(self.root / "fingerprints" / fingerprint, manifest.digest)
        tree = self.get(manifest.digest)
        if tree is None:
            raise PreheatError("The files vanished from the store while they were published.", permanent=False)
        return tree

    def verify(self, digest: str) -> list[str]:
        """Reads a whole tree again; sentences about what is wrong, empty when nothing is."""
        manifest = self.manifest(digest)
        if manifest is None:
            return ["The tree is not in the store."]
        if manifest.digest != digest:
            return ["The manifest is not the one that this tree was published with."]
        return verify_tree(self._tree(digest), manifest)

    def evict(self, keep: set[str], *, not_used_since: float) -> list[str]:
        """Removes trees that are not in `keep` and were last asked for before that time (seconds since the epoch).

        Returns their digests. Contents that no tree uses any more go too.
        """
        gone = []
        for tree in list(self._children("trees")):
            if tree.name not in keep and tree.stat().st_mtime < not_used_since:
                self._retire(tree)
                (self.root / "manifests" / f"{tree.name}.json").unlink(missing_ok=True)
                gone.append(tree.name)
        for entry in self._children("trash"):
            _remove(entry)
        for folder in self._children("blobs"):
            for blob in list(folder.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    info = blob.stat()
                    # One link is the blob's own name. A part that is being published still holds a second one.
                    if info.st_nlink == 1 and info.st_ctime < not_used_since:
                        blob.unlink()
        return gone

    def _place(self, part: Path, file: StoredFile, target: Path) -> None:
        """Puts one content into the tree being built, sharing it with every other tree that holds it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        blob = self.root / "blobs" / file.sha256[:2] / file.sha256
        blob.parent.mkdir(parents=True, exist_ok=True)
        part.chmod(0o444)
        try:
            if not _is_sound(blob, part, file):
                blob.unlink(missing_ok=True)
                blob.hardlink_to(part)
            target.hardlink_to(blob)
        except OSError:  # a file system without hard links, too many of them, or an eviction in between
            shutil.copyfile(part, target)
            target.chmod(0o444)

    def _reveal(self, built: Path, digest: str) -> None:
        target = self._tree(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.get(digest) is not None:  # another round was first; replicas may be reading its tree already
            _remove(built)
            return
        if target.exists():  # a damaged one
            self._retire(target)
        built.rename(target)
        target.chmod(0o555)
        _flush_folder(target.parent)

    def _retire(self, tree: Path) -> None:
        trash = self.root / "trash"
        trash.mkdir(parents=True, exist_ok=True)
        tree.chmod(0o755)  # a folder that moves must be writable by its owner
        moved = tree.rename(trash / f"{tree.name}.{secrets.token_hex(4)}")
        _remove(moved)

    def _touch(self, digest: str) -> None:
        """Notes that the tree was asked for: `evict` goes by this time."""
        with contextlib.suppress(OSError):
            os.utime(self._tree(digest))

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text.encode(), mode=0o644)

    def _tree(self, digest: str) -> Path:
        return self.root / "trees" / digest

    def _children(self, name: str) -> Iterator[Path]:
        folder = self.root / name
        return folder.iterdir() if folder.is_dir() else iter(())


def _is_sound(blob: Path, part: Path, file: StoredFile) -> bool:
    """The blob is there and holds what its name says; it is read again, as it may be years old."""
    try:
        return blob.samefile(part) or (blob.stat().st_size == file.size and sha256_of(blob) == file.sha256)
    except FileNotFoundError:
        return False


def _dump(manifest: Manifest) -> str:
    return json.dumps({
        "files": [[file.path, file.size, file.sha256] for file in manifest.files],
        "empty_dirs": list(manifest.empty_dirs),
    })


def _make_read_only(tree: Path) -> None:
    for folder, _, _ in os.walk(tree, topdown=False):
        if Path(folder) != tree:  # the top one has yet to move
            Path(folder).chmod(0o555)


def _remove(tree: Path) -> None:
    """rmtree for trees with read-only folders."""
    if not tree.exists():
        return
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o755)
    shutil.rmtree(tree)


def _flush(folder: Path) -> None:
    """Flushes the whole file system once, rather than each of thousands of files."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "the file system cannot be flushed")
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
