"""Errors whose cause lies outside the console and can go away: a disk, a database. One explanation for each of them.

Pages, the REST API and `make run` show it; whatever failed is tried again instead of being given up.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator

from django.conf import settings
from django.db import DataError, InterfaceError, OperationalError

from console import room
from console.errors import ConsoleError, NoRoom, Unavailable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK = FULL | {errno.EIO, errno.EROFS}
SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
FORKS = frozenset({"_execute_child", "_launch", "spawn_worker"})
"""Functions of subprocess, multiprocessing and gunicorn. Elsewhere EAGAIN is a lock or a socket that is not ready."""
NO_THREAD = "can't start new thread"
SQLITE_DISK = (
    "database or disk is full",
    "disk I/O error",
    "attempt to write a readonly database",
    "unable to open database file",
)
SQLITE_BUSY = ("database is locked", "database table is locked")
POSTGRES_FULL = "53100"
POSTGRES_BUSY = "55P03"
"""Another transaction held a lock for longer than `lock_timeout`."""
POSTGRES_AWAY = ("08", "53", "57")
"""Classes of SQLSTATE: connection, resources, and an operator who shuts it down."""


class Unkept(ConsoleError):
    code = "invalid"
    status = 400


def explain(error: BaseException) -> ConsoleError | None:
    """None for an error of the console itself, and for what a person did wrong."""
    for cause in causes(error):
        if isinstance(cause, OperationalError | InterfaceError):
            explanation = _database(cause)
        elif isinstance(cause, OSError):
            explanation = _system(cause)
        elif isinstance(cause, RuntimeError) and str(cause) == NO_THREAD:
            explanation = _shortage("no more threads can be started")
        else:
            continue
        if explanation is not None:
            return explanation
    return None


def of_request(error: BaseException) -> ConsoleError | None:
    """What to answer instead of a failure: an outside cause, or a value in the request that the database refuses."""
    if any(isinstance(cause, DataError) for cause in causes(error)):
        return Unkept(
            "A value holds a character that cannot be stored (such as NUL), is too long or out of range.",
            hint="Send it again without.",
        )
    return explain(error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error itself and what it was raised from, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _system(error: OSError) -> ConsoleError | None:
    if error.errno in DISK:
        return _disk(error.strerror or "")
    if error.errno in SHORTAGE or (error.errno == errno.EAGAIN and _is_of_fork(error)):
        return _shortage(error.strerror or "")
    return None


def _shortage(reason: str) -> ConsoleError:
    return Unavailable(f"{settings.NODE_NAME} is short of resources: {reason}.", hint="Try again soon.")


def _is_of_fork(error: OSError) -> bool:
    return any(frame.name in FORKS for frame in traceback.extract_tb(error.__traceback__)[-2:])


def _database(error: Exception) -> ConsoleError | None:
    text = str(error)
    if any(words in text for words in SQLITE_DISK):
        return _disk(text)
    state = getattr(error.__cause__, "sqlstate", None)
    if state == POSTGRES_BUSY or any(words in text for words in SQLITE_BUSY):
        return Unavailable("The database is busy.", hint="Try again in a moment.")
    if state == POSTGRES_FULL:
        return NoRoom("The disk of the database is full.", hint="Free space on the database's server.")
    module = type(error.__cause__).__module__.partition(".")[0]
    if module == "psycopg" and (state or "08")[:2] in POSTGRES_AWAY:
        return Unavailable("The database does not answer.", hint="Try again in a moment.")
    return None


def _disk(reason: str) -> ConsoleError:
    """What the disk says now; when it has just got better, what was said when it failed."""
    folder = settings.HOME.root
    return room.measure(folder).problem or NoRoom(
        f"The disk of {settings.NODE_NAME} could not be written: {reason}.", hint=f"Check the disk of {folder}."
    )
