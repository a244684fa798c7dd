"""Several questions at once with one deadline. A question that hangs holds nobody, and is not asked a second time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class _Question(threading.Thread, Generic[T]):
    def __init__(self, question: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._question = question
        self.answer: T | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.answer = self._question()
        except Exception as error:
            self.error = error


class Questions(Generic[T]):
    """Threads and not a pool: a pool waits for its threads, also when the interpreter ends."""

    def __init__(self) -> None:
        self._hanging: dict[str, _Question[T]] = {}

    def ask(self, questions: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, T]:
        """The answers by name; a name without one is late. Raises what a question raises."""
        deadline = time.monotonic() + seconds
        late = self._late()
        started = {name: _Question(question) for name, question in questions.items() if name not in late}
        for question in started.values():
            question.start()
        answers: dict[str, T] = {}
        for name, question in started.items():
            question.join(max(0.0, deadline - time.monotonic()))
            if question.is_alive():
                self._hanging[name] = question
            elif question.error is not None:
                raise question.error
            else:
                answers[name] = question.answer  # type: ignore[assignment]  # it has run
        return answers

    def _late(self) -> set[str]:
        self._hanging = {name: question for name, question in self._hanging.items() if question.is_alive()}
        return set(self._hanging)
