"""Calls that may hang in the kernel, made by threads that can be left behind.

A file system whose server is away keeps whoever asks it, for minutes or for ever, and nothing inside of the process
can end that. So others wait here in the caller's place, and the caller leaves when its patience is over.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from datasets.errors import SourceError

T = TypeVar("T")
MOST_LEFT = 16
"""Threads that hang in one place. One more would not come back either, so the next caller is told at once."""
MOST_LEFT_EVER = 256
"""The same for all places together: the same server may be asked for by many paths."""
MOST_IDLE = 64
LOOK = 0.2
"""Seconds between two beats of a caller that follows a long call."""


class Left(Exception):
    """Raised in a thread that was left behind, so that it does not go on for nobody."""


class Resource:
    """What may hang: a mount, a directory. The same text is the same place."""

    def __init__(self, text: str) -> None:
        self.text, self.left = text, 0


class Job(Generic[T]):
    """One call under way. Either its caller gets the outcome, or `undo` does, after the caller has left."""

    def __init__(self, resource: Resource, work: Callable[[], T], undo: Callable[[T | None], object]) -> None:
        self._resource, self._work, self._undo = resource, work, undo
        self._guard = threading.Lock()
        self._over = threading.Lock()  # far cheaper than an Event
        self._over.acquire()
        self._done = self.was_left = False
        self._result: T | None = None
        self._error: BaseException | None = None

    def do(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # whatever it is, it is the caller's
            self._error = error
        with self._guard:
            self._done = True
            left = self.was_left
        if left:
            with _lock:
                self._resource.left -= 1
                _everywhere.left -= 1
            with suppress(Exception):
                self._undo(self._result)
        else:
            self._over.release()

    def wait(self, seconds: float) -> bool:
        """False when it is not over by then, or another thread left it."""
        return self._over.acquire(timeout=seconds) and not self.was_left

    def leave(self) -> bool:
        """False when it is over already: then the outcome is there, and nobody else's."""
        with self._guard:
            if self.was_left:
                return True
            if self._done:
                return False
            self.was_left = True
            with _lock:
                self._resource.left += 1
                _everywhere.left += 1
            self._over.release()  # for whoever else waits for it
            return True

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


class Patience:
    """How long callers wait for one place, in seconds. Raises SourceError, which is not permanent, when it is over."""

    def __init__(self, text: str, seconds: float) -> None:
        with _lock:
            self._resource = _resources.setdefault(text, Resource(text))  # kept by those who wait for it
        self.seconds = seconds

    def call(self, work: Callable[[], T], undo: Callable[[T | None], object] = lambda _: None) -> T:
        """What `work` returns. If that comes too late it goes to `undo`, which closes what has to be closed."""
        job = self.start(work, undo)
        if not job.wait(self.seconds) and job.leave():
            raise self.away()
        return job.outcome()

    def follow(self, work: Callable[[Callable[[], None]], T], beat: Callable[[], None]) -> T:
        """For a long call that says by the function it is given that it goes on. `beat` is called by this thread."""
        heard = time.monotonic()

        def tick() -> None:
            nonlocal heard
            heard = time.monotonic()
            if job.was_left:
                raise Left

        job: Job[T] = Job(self._resource, lambda: work(tick), lambda _: None)
        self._hand_over(job)
        while not job.wait(LOOK):
            try:
                beat()
            except BaseException:
                job.leave()
                raise
            if time.monotonic() - heard > self.seconds and job.leave():
                raise self.away()
        return job.outcome()

    def start(self, work: Callable[[], T], undo: Callable[[T | None], object]) -> Job[T]:
        job = Job(self._resource, work, undo)
        self._hand_over(job)
        return job

    def away(self) -> SourceError:
        return SourceError(
            f"{self._resource.text} does not answer: nothing came for {self.seconds:g} seconds.",
            permanent=False,
            hint="Is the file server up, and does the network reach it?",
        )

    def _hand_over(self, job: Job[Any]) -> None:
        with _lock:
            for resource, most in ((self._resource, MOST_LEFT), (_everywhere, MOST_LEFT_EVER)):
                if resource.left >= most:
                    raise SourceError(
                        f"{resource.text} does not answer, and {resource.left} earlier requests still wait for it.",
                        permanent=False,
                        hint="Is the file server up, and does the network reach it?",
                    )
            hand = _idle.pop() if _idle else None
        if hand is None:
            hand = _Hand()
            hand.start()
        hand.inbox.put(job)


class _Hand(threading.Thread):
    """A daemon: one that hangs must not keep the process from ending."""

    def __init__(self) -> None:
        super().__init__(name="patience", daemon=True)
        self.inbox: SimpleQueue[Job[Any]] = SimpleQueue()

    def run(self) -> None:
        while True:
            self.inbox.get().do()
            with _lock:
                if len(_idle) >= MOST_IDLE:
                    return
                _idle.append(self)


_lock = threading.Lock()
_idle: list[_Hand] = []
_resources: WeakValueDictionary[str, Resource] = WeakValueDictionary()
_everywhere = Resource("More than one file server")
os.register_at_fork(after_in_child=_idle.clear)  # threads do not come along
