from __future__ import annotations

import pytest

from services.bridge import sse
from services.bridge.errors import BridgeError


def test_comments_and_other_fields_are_passed_over_and_lines_of_data_are_joined() -> None:
    content = b": hello\n\nevent: x\ndata: a\ndata:b\n\n"
    assert sse.Events().feed(content) == [b"a\nb"]


def test_lines_may_end_with_cr_lf_wherever_they_are_cut() -> None:
    events = sse.Events()
    content = b"data: a\r\n\r\ndata: b\r\n\r\n"
    assert [event for at in range(len(content)) for event in events.feed(content[at : at + 1])] == [b"a", b"b"]


def test_an_event_that_does_not_end_is_refused_before_it_fills_the_memory() -> None:
    events = sse.Events()
    with pytest.raises(BridgeError):
        for _ in range(100):
            events.feed(b"data: " + b"x" * 100_000)
