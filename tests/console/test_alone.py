"""Tasks of which there is one at a time."""

from __future__ import annotations

import threading

import pytest

from console.alone import alone


def test_a_second_call_returns_at_once_while_the_first_is_under_way() -> None:
    inside, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    @alone
    def task() -> None:
        calls.append(1)
        inside.set()
        assert go_on.wait(30)

    first = threading.Thread(target=task)
    first.start()
    assert inside.wait(30)
    task()
    assert calls == [1]
    go_on.set()
    first.join(30)
    task()
    assert calls == [1, 1]


def test_one_that_fails_can_be_called_again() -> None:
    @alone
    def task() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            task()
