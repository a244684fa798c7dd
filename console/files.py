"""Writing a file as one step, so that readers see the old content or the new, also after a crash; and file locks."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 0.005


def replace(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Written beside, synced, renamed. Raises OSError; then `path` is as it was."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # a name of its own for each caller
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def made_once(path: Path, make: Callable[[], str]) -> str:
    """The text of `path`, which is made with mode 0600 when it is not there. Several processes may ask at once."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        replace(temporary, make().encode("ascii"))
        path.hardlink_to(temporary)  # fails when another process was first: then its text counts
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_text(encoding="ascii").strip()


@contextmanager
def locked(path: Path, seconds: float, busy: Exception) -> Iterator[None]:
    """Hold a lock, between processes and between threads of one. Raises `busy` when others hold it for so long."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not take_lock(descriptor):
            if time.monotonic() > deadline:
                raise busy
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process that was forked meanwhile has this descriptor too
    finally:
        os.close(descriptor)


def take_lock(descriptor: int) -> bool:
    """Lock an open file, unless another process or descriptor holds its lock. The lock ends with the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
