"""Which buttons a round has."""

from __future__ import annotations

from typing import Any

import pytest

from datasets import states
from datasets.actions import verbs
from datasets.models import Round


@pytest.mark.parametrize(
    ("fields", "possible"),
    [
        ({"state": states.PENDING}, ("pause", "cancel")),
        ({"state": states.COPYING}, ("pause", "cancel")),
        ({"state": states.COPYING, "pause_requested": True}, ("resume", "cancel")),
        ({"state": states.COPYING, "cancel_requested": True}, ()),
        ({"state": states.VERIFYING}, ("pause", "cancel")),
        ({"state": states.PAUSED}, ("resume", "cancel")),
        ({"state": states.DONE}, ()),
        ({"state": states.FAILED}, ("retry",)),
        ({"state": states.CANCELLED, "cancel_requested": True}, ("retry",)),
    ],
)
def test_what_can_be_asked_follows_from_the_state(fields: dict[str, Any], possible: tuple[str, ...]) -> None:
    assert verbs.possible(Round(**fields)) == possible


def test_every_state_was_thought_of() -> None:
    assert all(set(verbs.possible(Round(state=state))) <= set(verbs.ALL) for state in states.ALL)
