"""What two files have in common, line by line, and what a line is about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.gateway.envoy import document, encoding, names
from services.gateway.render import render
from tests.services.gateway import snapshots

LINES = some.lists(some.sampled_from([b"a", b"b", b"c", b"d"]), max_size=8)


@given(LINES, LINES)
def test_what_is_the_same_in_front_and_behind_does_not_overlap(before: list[bytes], after: list[bytes]) -> None:
    front, old, new = document.apart(before, after)
    assert 0 <= front <= min(old, new)
    assert before[:front] == after[:front] and before[old:] == after[new:]
    assert before[front:old] != after[front:new] or front == old == new


@given(some.sets(some.binary(max_size=2)), some.sets(some.binary(max_size=2)))
def test_new_lines_are_those_that_were_not_there(before: set[bytes], after: set[bytes]) -> None:
    assert set(document.new_lines(sorted(before), sorted(after))) == after - before


def test_a_line_that_is_there_twice_now_is_new() -> None:
    assert document.new_lines([b"a", b"b"], [b"a", b"a", b"b"]) == [b"a"]


@pytest.mark.parametrize("file", [names.CLUSTERS, names.ROUTES])
def test_what_every_line_is_about_is_in_its_file_once(file: str) -> None:
    rendered = render(snapshots.CASES["keys"])[file]
    assert all(rendered.content.count(document.subject(line)) == 1 for line in rendered.lines)


@pytest.mark.parametrize("file", [names.CLUSTERS, names.ROUTES])
@pytest.mark.parametrize("cut", [1, 40, 400])
def test_nothing_is_taken_over_from_a_protobuf_that_was_cut_off(file: str, cut: int) -> None:
    before, after = render(snapshots.many(30))[file], render(snapshots.CASES["keys"])[file]
    whole = encoding.encode(file, before)
    assert encoding.encode(file, after, before, whole[:-cut]) == encoding.encode(file, after)
    assert encoding.encode(file, after, before, whole) == encoding.encode(file, after)


def test_only_the_last_call_is_remembered_and_only_for_the_same() -> None:
    calls: list[tuple[int, ...]] = []

    @document.unless_the_same
    def make(numbers: tuple[int, ...], *, more: bool) -> bytes:
        calls.append(numbers)
        return b"%d" % sum(numbers) + (b"+" if more else b"")

    assert [make((1, 2), more=False), make((1, 2), more=False), make((1, 2), more=True)] == [b"3", b"3", b"3+"]
    assert [make((3,), more=True), make((1, 2), more=True)] == [b"3+", b"3+"]
    assert calls == [(1, 2), (1, 2), (3,), (1, 2)]
