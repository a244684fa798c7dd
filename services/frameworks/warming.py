"""Warms up new processes of replicas, each in a thread of its own: it may take minutes, and a look may not.

What was begun is known in the memory of this process. A worker that starts anew begins again, which does no harm.
"""

from __future__ import annotations

import logging
import threading

from console.errors import ConsoleError
from services.frameworks.base import Framework
from services.listeners import Listeners

logger = logging.getLogger(__name__)
SECONDS = 900.0
"""For one request. A process that never answers is somebody else's: see replicas.overdue and watch."""
SENTENCE = "It is warming up: what takes long the first time is done before callers come."

_threads: dict[tuple[str, int], threading.Thread] = {}
"""By name and process."""
_warm: set[tuple[str, int]] = set()
_lock = threading.Lock()


def is_warm(framework: Framework, listeners: Listeners, service: str, name: str, pid: int) -> bool:
    """Whether the process of replica `name` may be given requests; begins to warm it up if nobody has."""
    if not framework.warms_up:
        return True
    key = (name, pid)
    with _lock:
        if key in _warm:
            return True
        _forget(name, pid)
        thread = _threads.get(key)
        if thread is None or not thread.is_alive():  # one that failed is tried again
            thread = threading.Thread(target=_warm_up, args=(key, framework, listeners, service), daemon=True)
            _threads[key] = thread
            thread.start()
    return False


def _warm_up(key: tuple[str, int], framework: Framework, listeners: Listeners, service: str) -> None:
    try:
        framework.warm_up(listeners, service, SECONDS)
    except ConsoleError as error:
        logger.warning("%s was not warmed up: %s", key[0], error)
        return
    with _lock:
        _warm.add(key)


def _forget(name: str, pid: int) -> None:
    """Its earlier processes, and threads that have ended."""
    _warm.difference_update([key for key in _warm if key[0] == name and key[1] != pid])
    for key in [key for key, thread in _threads.items() if key[1] != pid and not thread.is_alive()]:
        del _threads[key]
