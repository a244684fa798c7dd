"""Tasks of which there is one at a time."""

from __future__ import annotations

import threading

import pytest

from console.alone import alone, once_more
from services import tasks


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


def test_one_more_call_waits_and_sees_every_change_that_came_before_it() -> None:
    inside, go_on = threading.Semaphore(0), threading.Semaphore(0)
    written: list[str] = []
    seen: list[list[str]] = []

    @once_more
    def task() -> None:
        seen.append(written.copy())
        inside.release()
        assert go_on.acquire(timeout=30)

    def change(name: str) -> threading.Thread:
        written.append(name)
        thread = threading.Thread(target=task)
        thread.start()
        return thread

    first = change("first")
    assert inside.acquire(timeout=30)
    others = [change(f"other {number}") for number in range(8)]
    go_on.release(2)
    for thread in (first, *others):
        thread.join(30)
        assert not thread.is_alive()
    assert [len(one) for one in seen] == [1, 9]


def test_publishing_takes_two_threads_of_the_worker_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Semaphore(0), threading.Event()

    def publish() -> None:
        inside.release()
        assert go_on.wait(30)

    monkeypatch.setattr(tasks.publishing, "publish_now", publish)
    threads = [threading.Thread(target=tasks.publish) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=30)
    for thread in threads:
        thread.join(0.2)
    busy = [thread for thread in threads if thread.is_alive()]
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(busy) <= 2
    assert not inside.acquire(blocking=False) or len(busy) == 2
