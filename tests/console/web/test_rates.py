"""What is counted, for whom, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from console.models import Tally
from console.web.rates import TooOften, add, count, key_of, take_back

pytestmark = pytest.mark.django_db


def test_each_person_and_each_thing_has_its_own_count() -> None:
    for _ in range(2):
        count("look", "alice", most=2, seconds=60)
    count("look", "bob", most=2, seconds=60)
    count("leap", "alice", most=2, seconds=60)
    with pytest.raises(TooOften, match="alice did this 2 times within 60 seconds") as caught:
        count("look", "alice", most=2, seconds=60)
    assert caught.value.status == 429


def test_it_starts_anew_when_its_time_is_over() -> None:
    count("look", "alice", most=1, seconds=60)
    with pytest.raises(TooOften):
        count("look", "alice", most=1, seconds=60)
    Tally.objects.update(ends_at=timezone.now())
    count("look", "alice", most=1, seconds=60)


def test_other_names_wipe_nothing_and_rows_go_when_their_time_is_over() -> None:
    add(key_of("look", "alice"), 60)
    for number in range(450):
        add(key_of("look", f"other-{number}"), 60)
    assert (add(key_of("look", "alice"), 60), Tally.objects.count()) == (2, 451)
    Tally.objects.exclude(key=key_of("look", "alice")).update(ends_at=timezone.now() - timedelta(seconds=1))
    assert (add(key_of("look", "alice"), 60), Tally.objects.count()) == (3, 1)


def test_what_is_taken_back_does_not_count() -> None:
    key = key_of("look", "alice")
    add(key, 60)
    take_back(key)
    take_back(key)
    assert add(key, 60) == 1


def test_parts_of_a_name_are_kept_apart_and_may_hold_anything() -> None:
    assert len({key_of("a", "b\0c"), key_of("a\0b", "c"), key_of("a", "\ud800")}) == 3
