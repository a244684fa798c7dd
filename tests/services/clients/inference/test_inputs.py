"""What people say of the place of a request in a sequence."""

from __future__ import annotations

from typing import Any

import pytest

from console.errors import InvalidFields
from services.clients.inference.call import Model, SequenceStep
from services.clients.inference.inputs import LARGEST_ID, LONGEST_ID, read_step

MODEL = Model("count", (), (), sequences=True)


@pytest.mark.parametrize("number", [1, LARGEST_ID, "a", "é" * (LONGEST_ID // 2)])
def test_whole_numbers_and_texts_are_ids(number: Any) -> None:
    assert read_step({"id": number, "start": True}, MODEL) == SequenceStep(number, start=True, end=False)


@pytest.mark.parametrize("number", [0, -1, LARGEST_ID + 1, True, 1.0, "", "é" * LONGEST_ID, "\ud800", None, []])
def test_an_id_that_no_protocol_carries_is_refused(number: Any) -> None:
    with pytest.raises(InvalidFields) as caught:
        read_step({"id": number}, MODEL)
    assert [*caught.value.errors] == ["sequence.id"]
