"""Brings the files of a plan into a staging directory: several files, and pieces of one file, at the same time.

Resumable by the staging directory's journal: a killed worker's successor fetches again at most what was under way, a
piece or a few light files of each stream, and who goes on after an attempt that ended by itself no piece at all.
Digests are taken of every byte. No Django; publishing is the store's.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console.formats.units import size_text
from datasets.errors import NoRoomYet, PreheatError
from datasets.preheat.copying.speed import Limit
from datasets.preheat.copying.streams import Streams
from datasets.preheat.journal import Staging, key_of
from datasets.sources.base import Source
from datasets.specs import Plan, SourceFile, StoredFile

CHUNK = 1 << 20
"""Bytes of the buffer that each stream has."""
PIECE = 4 << 20
"""Bytes of a file that one stream fetches at a time: what a kill costs at most, for each stream."""
MARGIN = 64 << 20
"""Bytes of the disk that a round never takes: logs and the database live there too."""
WAITS = "It goes on by itself once there is room. Free space in CONSOLE_HOME, or delete models that are not used."
LOOK = 0.1
"""Seconds between two looks whether to stop, and two reports of progress."""
FLUSH = 20.0
"""Seconds after which what was copied is brought to the disk, for the case that the machine goes down."""


@dataclass(frozen=True)
class Moving:
    """A file under way, as pages show it."""

    path: str
    size: int
    bytes_done: int


@dataclass(frozen=True)
class Progress:
    """`bytes_done` counts what is on disk and never shrinks, `bytes_copied` what this call really moved."""

    bytes_done: int
    files_done: int
    bytes_copied: int
    moving: tuple[Moving, ...] = ()


def copy(
    plan: Plan,
    source: Source,
    path: str,
    staging: Staging,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    find_stored: Callable[[SourceFile], tuple[str, Path] | None] = lambda _: None,
    limit: Limit | None = None,
    chunk: int = CHUNK,
    piece: int = PIECE,
) -> tuple[StoredFile, ...]:
    """Brings every file of the plan into `staging.parts` and returns their digests, in the plan's order.

    `find_stored` returns SHA-256 and path of a content on this disk, which is linked instead of fetched.
    `check` and `progress` are called by this thread, ten times a second; `check` raises to stop.
    Raises SourceChanged when a file is another version by now (plan again, and call again: the rest is kept),
    SourceError when it cannot be read, NoRoomYet when the disk is full.
    """
    staging.begin(plan.origin)
    staging.keep_only({key_of(file) for file in plan.files})
    with disk_full_explained(plan.total_bytes, staging.directory):
        sums = _reuse(plan, staging, find_stored, check)
        require_space(plan, staging, sums)
        missing = [file for file in plan.files if file.path not in sums]
        # The largest first: a long one that begins last would keep one stream busy and leave the others idle.
        missing.sort(key=lambda file: -file.size)
        done = sum(file.size for file in plan.files if file.path in sums)
        streams = Streams(missing, source, path, staging, limit or Limit(0), chunk=chunk, piece=piece)
        sums |= _watched(streams, staging, done, len(sums), progress, check)
    return tuple(StoredFile(file.path, file.size, sums[file.path]) for file in plan.files)


def missing_bytes(plan: Plan, staging: Staging, find_stored: Callable[[SourceFile], tuple[str, Path] | None]) -> int:
    """Bytes that `copy` would have to write: what neither the staging directory nor the store has."""
    return sum(
        max(0, file.size - _blocks(staging.part(key)))
        for file in plan.files
        if (key := key_of(file)) not in staging.facts.done and find_stored(file) is None
    )


def _reuse(
    plan: Plan,
    staging: Staging,
    find_stored: Callable[[SourceFile], tuple[str, Path] | None],
    check: Callable[[], None],
) -> dict[str, str]:
    """path -> SHA-256 of the files that need not be fetched."""
    sums = {}
    for file in plan.files:
        check()
        key = key_of(file)
        sha256 = staging.facts.done.get(key, "")
        if sha256 and _size(staging.part(key)) != file.size:
            staging.forget(key)
            sha256 = ""
        if not sha256 and (stored := find_stored(file)) is not None:
            sha256 = _link(stored[1], staging.part(key), stored[0], file.size)
            if sha256:
                staging.finished(key, sha256)
        if sha256:
            sums[file.path] = sha256
    return sums


def _link(content: Path, part: Path, sha256: str, size: int) -> str:
    try:
        part.unlink(missing_ok=True)
        if _size(content) != size:  # before it is linked: a part of another size is written anew, and this is no part
            return ""
        part.hardlink_to(content)
    except OSError:  # evicted a moment ago, or too many links: it is fetched
        return ""
    return sha256


def _watched(
    streams: Streams,
    staging: Staging,
    bytes_before: int,
    files_before: int,
    progress: Callable[[Progress], None],
    check: Callable[[], None],
) -> dict[str, str]:
    most = 0
    flushed = time.monotonic()

    def report() -> None:
        nonlocal most
        state = streams.state()
        most = max(most, bytes_before + state.bytes_on_disk)
        moving = tuple(Moving(path, size, done) for path, size, done in state.moving)
        progress(Progress(most, files_before + state.files, state.moved, moving))

    with streams:
        while not streams.wait(LOOK):
            check()
            report()
            if time.monotonic() - flushed > FLUSH:
                streams.flush_beside()
                flushed = time.monotonic()
        report()  # also when it failed: what came is to be counted
        sums = streams.result()
    report()
    check()
    return sums


def require_space(plan: Plan, staging: Staging, sums: dict[str, str]) -> None:
    """Raises NoRoomYet when what is still missing does not fit on the disk now, PreheatError when it never will."""
    need = sum(max(0, file.size - _blocks(staging.part(key_of(file)))) for file in plan.files if file.path not in sums)
    disk = shutil.disk_usage(staging.directory)
    if need > disk.total - MARGIN:
        raise PreheatError(_shortage(need, disk.total - MARGIN, "the whole disk has"), hint="Ask for a larger disk.")
    if need > disk.free - MARGIN:
        raise NoRoomYet(_shortage(need, disk.free - MARGIN), need=need, hint=WAITS)


@contextmanager
def disk_full_explained(need: int, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(directory).free - MARGIN
        if error.errno == errno.ENOSPC and free < need:
            raise NoRoomYet(_shortage(need, free), hint=WAITS) from error
        raise unwritable(error) from error  # also a quota, and a disk that has room and takes no more files


def unwritable(error: OSError) -> PreheatError:
    """A disk that is full, broken or read-only is waited for; anything else is tried a few times."""
    message = f"The store of this node cannot be written: {error.strerror}."
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}:
        return NoRoomYet(message, hint=WAITS)
    return PreheatError(message, permanent=False)


def has_room(directory: Path, need: int) -> bool:
    """Whether `need` bytes fit beside the margin now."""
    return shutil.disk_usage(directory).free - MARGIN >= need


def _shortage(need: int, free: int, what: str = "") -> str:
    available = f"{what} {size_text(max(0, free))}" if what else f"{size_text(max(0, free))} are free"
    return f"Not enough disk space on this node: {size_text(need)} are needed, {available}."


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _blocks(path: Path) -> int:
    """Bytes that a part has taken on the disk already."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
