"""How far a round is, in numbers and in words."""

from __future__ import annotations

from typing import TypedDict

from console.formats.units import duration_text, size_text
from datasets import states
from datasets.models import Round


class Progress(TypedDict):
    """What a page or the API shows of a round. `percent` is below 100 until the round is DONE."""

    state: str
    percent: int
    bytes_done: int
    bytes_total: int
    bytes_copied: int
    files_done: int
    files_total: int
    bytes_per_second: float
    seconds_left: int | None
    sentence: str
    finished: bool


def progress(round_: Round) -> Progress:
    left = max(0, round_.bytes_total - round_.bytes_done)
    copying = round_.state == states.COPYING
    seconds_left = round(left / round_.bytes_per_second) if copying and round_.bytes_per_second > 0 else None
    return Progress(
        state=round_.state,
        percent=_percent(round_),
        bytes_done=round_.bytes_done,
        bytes_total=round_.bytes_total,
        bytes_copied=round_.bytes_copied,
        files_done=round_.files_done,
        files_total=round_.files_total,
        bytes_per_second=round_.bytes_per_second if copying else 0.0,
        seconds_left=seconds_left,
        sentence=_sentence(round_, seconds_left),
        finished=round_.state in states.TERMINAL,
    )


def _percent(round_: Round) -> int:
    if round_.state == states.DONE:
        return 100
    if not round_.bytes_total:
        return 0
    return min(99, int(100 * round_.bytes_done / round_.bytes_total))


def _sentence(round_: Round, seconds_left: int | None) -> str:
    total = size_text(round_.bytes_total)
    if round_.state in {states.FAILED, states.CANCELLED}:
        return round_.message or round_.get_state_display()
    if round_.state == states.DONE:
        return _done_sentence(round_, total)
    if round_.cancel_requested:
        return "Being cancelled."
    if round_.state == states.PAUSED:
        return f"Paused at {size_text(round_.bytes_done)} of {total}." if round_.files_total else "Paused."
    if round_.pause_requested:
        return "Being paused."
    if round_.message:  # why it waits for its next attempt
        return round_.message
    if round_.state == states.PENDING:
        return "Waiting for a worker."
    if round_.state == states.VERIFYING:
        return f"All {total} are copied and are being verified."
    if not round_.files_total:
        return "Listing the files."
    sentence = f"{size_text(round_.bytes_done)} of {total}"
    if seconds_left is not None:
        sentence += f", {size_text(round_.bytes_per_second)}/s, {duration_text(seconds_left)} left"
    return sentence


def _done_sentence(round_: Round, total: str) -> str:
    files = f"{round_.files_total} {'file' if round_.files_total == 1 else 'files'}, {total}"
    if not round_.bytes_copied and round_.bytes_total:
        return f"{files}: already on this node, nothing was copied."
    if round_.started_at and round_.finished_at:
        took = duration_text((round_.finished_at - round_.started_at).total_seconds())
        return f"{files}: copied and verified in {took}."
    return f"{files}: copied and verified."
