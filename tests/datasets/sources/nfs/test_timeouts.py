"""Callers leave what hangs; who comes back late is cleaned up after; too many that hang are said at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.sources.nfs import timeouts
from datasets.sources.nfs.timeouts import Left, Patience


class Dam:
    """A read that hangs in the kernel until the test lets it go."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        self.waiting = 0

    def wait(self) -> bytes:
        self.waiting += 1
        return os.read(self.out, 1)

    def open(self) -> None:
        os.write(self.into, b"x" * self.waiting)


@pytest.fixture
def dam() -> Iterator[Dam]:
    new_dam = Dam()
    yield new_dam
    new_dam.open()


def until(true: object) -> None:
    for _ in range(200):
        if true():  # type: ignore[operator]
            return
        time.sleep(0.01)
    raise AssertionError


def test_an_answer_and_an_error_are_the_callers() -> None:
    quick = Patience("here", 5)
    assert quick.call(lambda: 42) == 42
    with pytest.raises(FileNotFoundError):
        quick.call(lambda: Path("/no/such/file").stat())


def test_a_call_that_hangs_is_left_and_said_in_words(dam: Dam) -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"nas:/srv does not answer: nothing came for 0.2 seconds.*file server") as e:
        Patience("nas:/srv", 0.2).call(dam.wait)
    assert not e.value.permanent and time.monotonic() - began < 20


def test_what_comes_too_late_is_put_away(dam: Dam) -> None:
    late: list[bytes | None] = []
    with pytest.raises(SourceError):
        Patience("late", 0.1).call(dam.wait, late.append)
    assert late == []
    dam.open()
    until(lambda: late == [b"x"])


def test_a_place_where_much_hangs_is_not_asked_again_until_it_comes_back(
    dam: Dam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "MOST_LEFT", 2)
    place = Patience("crowded", 0.1)
    for _ in range(2):
        with pytest.raises(SourceError, match="nothing came"):
            place.call(dam.wait)
    with pytest.raises(SourceError, match="2 earlier requests still wait") as caught:
        place.call(lambda: 1)
    assert not caught.value.permanent
    assert Patience("elsewhere", 5).call(lambda: 1) == 1
    dam.open()
    until(lambda: place._resource.left == 0)
    assert Patience("crowded", 5).call(lambda: 1) == 1  # a busy machine may not start a thread in a tenth of a second


def test_no_number_of_names_for_a_place_makes_more_threads_than_may_hang(
    dam: Dam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "MOST_LEFT_EVER", 2)
    for name in ("/mnt/a", "/mnt/a/"):
        with pytest.raises(SourceError, match="nothing came"):
            Patience(name, 0.1).call(dam.wait)
    with pytest.raises(SourceError, match="More than one file server does not answer, and 2 earlier"):
        Patience("/mnt/./a", 0.1).call(dam.wait)
    dam.open()
    until(lambda: timeouts._everywhere.left == 0)
    assert Patience("/mnt/a", 5).call(lambda: 1) == 1 and "/mnt/a/" not in timeouts._resources


def test_a_long_call_goes_on_as_long_as_it_is_heard_of() -> None:
    beats: list[int] = []

    def work(tick: object) -> str:
        for _ in range(8):
            time.sleep(0.1)
            tick()  # type: ignore[operator]
        return "done"

    here = threading.get_ident()
    assert Patience("long", 0.4).follow(work, lambda: beats.append(threading.get_ident())) == "done"
    assert set(beats) == {here}  # whoever asks may use what belongs to its own thread


def test_a_long_call_that_falls_silent_is_left(dam: Dam) -> None:
    with pytest.raises(SourceError, match="does not answer"):
        Patience("silent", 0.3).follow(lambda tick: (tick(), dam.wait()), lambda: None)  # type: ignore[func-returns-value]


def test_a_caller_that_is_told_to_stop_leaves_and_the_call_ends_soon() -> None:
    ended = threading.Event()

    def work(tick: object) -> None:
        try:
            while True:
                time.sleep(0.02)
                tick()  # type: ignore[operator]
        except Left:
            ended.set()
            raise

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Patience("stopped", 5).follow(work, stop)
    assert ended.wait(2)


def test_threads_are_used_again() -> None:
    place = Patience("again", 5)
    first = place.call(threading.get_ident)
    assert first != threading.get_ident()
    before = threading.active_count()
    for _ in range(200):
        place.call(lambda: None)
    assert threading.active_count() <= before + 2
