"""The store of this node: complete, verified copies of model paths, named by what they hold. No Django.

    blobs/<aa>/<sha256>        every content once, read-only
    trees/<digest>/            the files as a server reads them: hard links to blobs
    manifests/<digest>.json    what the tree holds; written before the tree appears
    fingerprints/<fingerprint> digest of the tree that a plan became
    contents/<place>.json      which content each version of a file had, when that place was last copied
    unflushed/<digest>         boot id: a tree that may not be on the disk yet, see upkeep.py
    reports/<digest>-…         what its files say, see datasets/queries/reports.py
    damaged/<digest>           trees that failed a re-verification, and are no longer given out
    to-verify/<digest>         a tree that is to be read again, see upkeep.py
    staging/<round>/           see ../journal.py
    trash/                     trees on their way out
    lock                       held (flock) while a tree appears, is given out, is marked or goes

A tree appears by one rename of a complete directory, and takes the place of a damaged one by one exchange of names: at
no moment is there none. What is half-made is never under `trees/`.
What takes long (building, reading, removing files, flushing) is done without the lock: before, or in the trash.
Nobody waits for the disk: a tree counts as soon as it is complete in the page cache. Until it is flushed a mark says
so, and after a crash of the machine a marked tree is read again before it counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from console.files import replace
from datasets.errors import PreheatError
from datasets.preheat.disk import boot_id, exchange, flush_folder, locked
from datasets.preheat.journal import Busy, Staging, key_of
from datasets.preheat.store.building import build, remove
from datasets.specs import Manifest, Plan, SourceFile, StoredFile, Tree


def make_manifest(files: tuple[StoredFile, ...], empty_dirs: tuple[str, ...] = ()) -> Manifest:
    """The manifest of these files, sorted; its digest depends on names and content only."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    folders = tuple(sorted(empty_dirs))
    lines = [[[file.path, file.size, file.sha256] for file in ordered], list(folders)]
    return Manifest(ordered, hashlib.sha256(json.dumps(lines).encode()).hexdigest(), folders)


FindStored = Callable[[SourceFile], tuple[str, Path] | None]
"""A planned file -> its SHA-256 and a file with its content, or None."""


class Store:
    """`root` is `home.store`. The constructor does no I/O; folders are made when they are needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self) -> Path:
        """Makes the directory itself; nobody but the console's own user may look into it."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.root

    def lock(self) -> AbstractContextManager[None]:
        """To be held for a moment, and never twice by one thread."""
        return locked(self.root / "lock")

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
            remove(directory)

    def adopt_staging(self, old: str, new: str) -> None:
        """Lets round `new` go on with what round `old` left, unless it has something of its own, or `old` is held."""
        here, target = self.root / "staging" / old, self.root / "staging" / new
        if not here.is_dir() or target.exists():
            return
        with suppress(Busy, OSError), self.staging(old):
            here.rename(target)

    def get(self, digest: str) -> Tree | None:
        """The tree of this digest; None when it is not here, is damaged, or files of it are gone or have another size.

        None too for one that was not flushed before the machine went down, until `upkeep.settle` has read it again.
        """
        manifest = self.manifest(digest)
        if manifest is None or manifest.digest != digest or self.damage(digest) or self.doubtful(digest):
            return None
        path = str(self._tree(digest))
        for file in manifest.files:
            try:
                if os.lstat(f"{path}/{file.path}").st_size != file.size:
                    return None
            except OSError:
                return None
        return self._described(manifest)

    def _described(self, manifest: Manifest) -> Tree:
        return Tree(manifest.digest, self._tree(manifest.digest), manifest.total_bytes, len(manifest.files))

    def damage(self, digest: str) -> str:
        """What was found wrong with the tree, "" when nothing was."""
        try:
            return (self.root / "damaged" / digest).read_text(encoding="utf-8")
        except OSError:
            return ""

    def mark_damaged(self, digest: str, problems: list[str]) -> None:
        """Stop giving a tree out. The caller holds the lock."""
        self._write(self.root / "damaged" / digest, "\n".join(problems[:100]) or "damaged")

    def verified_at(self, digest: str) -> float:
        """When the tree was last read as a whole, or published: seconds since 1970. 0 when that is not known."""
        try:
            return (self.root / "manifests" / f"{digest}.json").stat().st_mtime
        except OSError:
            return 0.0

    def note_verified(self, digest: str) -> None:
        with suppress(OSError):
            now = time.time_ns()  # finer than what the kernel would take
            os.utime(self.root / "manifests" / f"{digest}.json", ns=(now, now))

    def doubtful(self, digest: str) -> bool:
        """Whether the machine went down before the tree was flushed."""
        try:
            return (self.root / "unflushed" / digest).read_text(encoding="ascii", errors="replace") != boot_id()
        except OSError:
            return False

    def manifest(self, digest: str) -> Manifest | None:
        """The manifest of a tree that is here."""
        if not digest or not self._tree(digest).is_dir():
            return None
        try:
            document = json.loads((self.root / "manifests" / f"{digest}.json").read_text(encoding="utf-8"))
            files = tuple(StoredFile(path, size, sha256) for path, size, sha256 in document["files"])
            return make_manifest(files, tuple(document["empty_dirs"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def digest_of(self, fingerprint: str) -> str:
        """Digest of the tree that a plan with this fingerprint became; "" when none did."""
        try:
            return (self.root / "fingerprints" / fingerprint).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""

    def find(self, fingerprint: str) -> Tree | None:
        """The tree that a plan with this fingerprint became, if it is still here. It stays for a while: see `evict`."""
        digest = self.digest_of(fingerprint)
        tree = self.get(digest)
        return tree if tree is not None and self._asked_for(digest) else None

    def _asked_for(self, digest: str) -> bool:
        """Notes that a tree which was looked at is asked for. False when it went, or was found damaged, meanwhile."""
        with self.lock():
            return not self.damage(digest) and self._touch(digest)

    def stored_finder(self, plan: Plan, path: str) -> FindStored:
        """Says of a planned file which content (SHA-256, and a file of it) the store holds already, if it does.

        Because this version was copied from the same place before. Not because the source names a digest: anybody's
        server can claim any, and would be given what another team's has.
        """
        try:
            document = json.loads(self._contents(plan, path).read_text(encoding="ascii"))
            before: dict[str, str] = document if isinstance(document, dict) else {}
        except (OSError, ValueError):
            before = {}

        def content(file: SourceFile) -> tuple[str, Path] | None:
            if not (sha256 := before.get(key_of(file), "")):
                return None
            blob = self.blob(sha256)
            return (sha256, blob) if blob.is_file() else None

        return content

    def publish(
        self,
        staging: Staging,
        parts: dict[str, Path],
        manifest: Manifest,
        *,
        fingerprint: str,
        check: Callable[[], None] = lambda: None,
    ) -> Tree:
        """Makes verified parts (path in the tree -> file) a tree. May be repeated after a crash at any step.

        `check` is called now and then before anything becomes visible, and may raise. The tree is not flushed yet:
        `upkeep.settle` does that.
        """
        digest = manifest.digest
        if self.get(digest) is None or not self._asked_for(digest):
            build(staging.tree, manifest, parts, self.root / "blobs", check)
            check()
            self._reveal(staging, manifest)
        check()
        prepared_file = self._prepared(staging, "fingerprints", digest)
        with self.lock():
            prepared_file.replace(self.root / "fingerprints" / fingerprint)
            # One that is found damaged just now was given out, like any other that is found so later.
            if not self._touch(digest):
                raise PreheatError("The files vanished from the store while they were published.", permanent=False)
        return self._described(manifest)

    def remember(self, plan: Plan, path: str, manifest: Manifest) -> None:
        """Keeps which content each file of the plan had, for the next time that this place is copied."""
        sums = {file.path: file.sha256 for file in manifest.files}
        contents = {key_of(file): sums[file.path] for file in plan.files if file.path in sums}
        self._write(self._contents(plan, path), json.dumps(contents))

    def _reveal(self, staging: Staging, manifest: Manifest) -> None:
        digest, target = manifest.digest, self._tree(manifest.digest)
        listed = self._prepared(staging, "manifests", _dump(manifest))
        unflushed = self._prepared(staging, "unflushed", boot_id())
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.lock():
            # Another round may have been first; replicas may be reading its tree already. Hardly ever is there one.
            if self.get(digest) is None:
                if self.doubtful(digest):  # the one there is not to pass for the one that was just made
                    self.mark_damaged(digest, ["The machine went down before it was on the disk."])
                unflushed.replace(self.root / "unflushed" / digest)
                listed.replace(self.root / "manifests" / f"{digest}.json")
                self._put(staging.tree, digest)
                (self.root / "damaged" / digest).unlink(missing_ok=True)
                target.chmod(0o555)
            self._touch(digest)
        flush_folder(target.parent)
        remove(staging.tree)  # what is there now is not needed

    def _put(self, built: Path, digest: str) -> None:
        """Gives a tree its name. A damaged one that has it keeps it until then, and is at `built` afterwards."""
        target = self._tree(digest)
        if not target.exists():
            built.rename(target)
            return
        target.chmod(0o755)  # as `retire` says
        if not exchange(built, target):
            # For a moment the tree is missing. A crash here leaves it to the next worker of the round, which
            # publishes again.
            old = self.retire(digest)
            built.rename(target)
            old.rename(built)

    def retire(self, digest: str) -> Path:
        """Takes a tree away; what is left of it is to be removed. To be called with the lock.

        Who has files of it open keeps them.
        """
        trash, tree = self.root / "trash", self._tree(digest)
        trash.mkdir(parents=True, exist_ok=True)
        tree.chmod(0o755)  # a folder that moves must be writable by its owner
        return tree.rename(trash / f"{digest}.{secrets.token_hex(4)}")

    def _touch(self, digest: str) -> bool:
        """Note that the tree was used: `evict` goes by this time. False if the tree is missing."""
        with suppress(OSError):
            os.utime(self._tree(digest))
        return self._tree(digest).is_dir()

    def _prepared(self, staging: Staging, folder: str, text: str) -> Path:
        """A file that only needs a rename into `folder`: what waits for the disk is not done with the lock."""
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        prepared = staging.directory / f"{folder}.new"
        replace(prepared, text.encode(), mode=0o644)
        return prepared

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text.encode(), mode=0o644)

    def _tree(self, digest: str) -> Path:
        return self.root / "trees" / digest

    def blob(self, sha256: str) -> Path:
        return self.root / "blobs" / sha256[:2] / sha256

    def _contents(self, plan: Plan, path: str) -> Path:
        contents_name = hashlib.sha256(json.dumps([plan.origin, path]).encode()).hexdigest()
        return self.root / "contents" / f"{contents_name}.json"

    def children(self, name: str) -> Iterator[Path]:
        folder = self.root / name
        return folder.iterdir() if folder.is_dir() else iter(())


def _dump(manifest: Manifest) -> str:
    return json.dumps(
        {
            "files": [[file.path, file.size, file.sha256] for file in manifest.files],
            "empty_dirs": list(manifest.empty_dirs),
        }
    )
