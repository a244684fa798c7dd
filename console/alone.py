"""Tasks of which a process does one at a time: those that come while it is under way have nothing to add."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps


def alone(task: Callable[[], None]) -> Callable[[], None]:
    """`task` does nothing while another thread of this process is in it: a hanging one must not fill the worker."""
    under_way = threading.Lock()

    @wraps(task)
    def call() -> None:
        if under_way.acquire(blocking=False):
            try:
                task()
            finally:
                under_way.release()

    return call
