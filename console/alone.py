"""Tasks of which a process does one at a time: those that come while it is under way must not fill the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps


def alone(task: Callable[[], None]) -> Callable[[], None]:
    """`task` does nothing while another thread of this process is in it: one that comes then has nothing to add."""
    under_way = threading.Lock()

    @wraps(task)
    def call() -> None:
        if under_way.acquire(blocking=False):
            try:
                task()
            finally:
                under_way.release()

    return call


def once_more(task: Callable[[], None]) -> Callable[[], None]:
    """As `alone`, for a task whose caller changed something: one more call waits, and begins after that change."""
    under_way, waiting = threading.Lock(), threading.Lock()

    @wraps(task)
    def call() -> None:
        if not waiting.acquire(blocking=False):
            return  # the one that waits has not begun
        try:
            under_way.acquire()
        finally:
            waiting.release()
        try:
            task()
        finally:
            under_way.release()

    return call
