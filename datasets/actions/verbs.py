"""What can be asked of a round in the state that it is in. Whether somebody may ask is the actions' matter."""

from __future__ import annotations

from typing import Final

from datasets import states
from datasets.models import Round

CANCEL: Final = "cancel"
PAUSE: Final = "pause"
RESUME: Final = "resume"
RETRY: Final = "retry"
ALL: Final = (CANCEL, PAUSE, RESUME, RETRY)


def possible(job: Round) -> tuple[str, ...]:
    """In the order in which buttons stand."""
    if job.state in {states.FAILED, states.CANCELLED}:
        return (RETRY,)
    if job.state not in states.ACTIVE or job.cancel_requested:
        return ()
    if job.state == states.PAUSED or job.pause_requested:
        return (RESUME, CANCEL)
    return (PAUSE, CANCEL)
