"""What is counted, for whom, and until when."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.core.cache import cache

from console.rates import TooOften, count


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def test_each_person_and_each_thing_has_its_own_count() -> None:
    for _ in range(2):
        count("look", "alice", most=2, seconds=60)
    count("look", "bob", most=2, seconds=60)
    count("leap", "alice", most=2, seconds=60)
    with pytest.raises(TooOften, match="alice did this 2 times within 60 seconds") as caught:
        count("look", "alice", most=2, seconds=60)
    assert caught.value.status == 429


def test_it_starts_anew_when_its_time_is_over() -> None:
    count("look", "alice", most=1, seconds=1)
    with pytest.raises(TooOften):
        count("look", "alice", most=1, seconds=1)
    time.sleep(1.05)
    count("look", "alice", most=1, seconds=1)
