"""A file that fits into a stream's buffer: it is fetched whole, digested, and written at once. No Django.

Most of what a model repository of many small files costs is not their bytes, so little else is done for each.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from datasets.digests import agrees, digest_for
from datasets.errors import SourceDamaged
from datasets.preheat.copying.requests import Request
from datasets.preheat.disk import READ_ONLY
from datasets.preheat.journal import Staging, key_of
from datasets.specs import SourceFile

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def receive(file: SourceFile, request: Request, buffer: memoryview, moved: Callable[[int], None]) -> str:
    """Fills the front of `buffer` with the file and gives its SHA-256. `moved` gets each count, and raises to stop.

    Raises SourceDamaged when it is not what the source says, and what reading raises.
    """
    got = 0
    while got < file.size:
        count = request.readinto(buffer[got : file.size])
        got += count
        moved(count)
    data = buffer[:got]
    if (check := digest_for(file.check, file.size)) is not None:
        check.update(data)
        if not agrees(file.check, check):
            raise SourceDamaged(file.path)
    return hashlib.sha256(data).hexdigest()


def keep(file: SourceFile, data: memoryview, sha256: str, staging: Staging) -> None:
    """Writes and notes the file. Raises OSError when it is the disk that fails."""
    key = key_of(file)
    name = staging.part_name(key)
    try:
        part = os.open(name, _FLAGS, READ_ONLY)
    except FileExistsError:  # what an attempt before this one left of it, or a link to what turned out to be no part
        Path(name).unlink()
        part = os.open(name, _FLAGS, READ_ONLY)
    try:
        while data:
            data = data[os.write(part, data) :]
    finally:
        os.close(part)
    staging.finished(key, sha256)
