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


def progress(job: Round) -> Progress:
    left = max(0, job.bytes_total - job.bytes_done)
    copying = job.state == states.COPYING
    seconds_left = round(left / job.bytes_per_second) if copying and job.bytes_per_second > 0 else None
    return Progress(
        state=job.state,
        percent=_percent(job),
        bytes_done=job.bytes_done,
        bytes_total=job.bytes_total,
        bytes_copied=job.bytes_copied,
        files_done=job.files_done,
        files_total=job.files_total,
        bytes_per_second=job.bytes_per_second if copying else 0.0,
        seconds_left=seconds_left,
        sentence=_sentence(job, seconds_left),
        finished=job.state in states.TERMINAL,
    )


def _percent(job: Round) -> int:
    if job.state == states.DONE:
        return 100
    if not job.bytes_total:
        return 0
    return min(99, int(100 * job.bytes_done / job.bytes_total))


def _sentence(job: Round, seconds_left: int | None) -> str:
    total = size_text(job.bytes_total)
    if job.state in {states.FAILED, states.CANCELLED}:
        return job.message or job.get_state_display()
    if job.state == states.DONE:
        return _done_sentence(job, total)
    if job.cancel_requested:
        return "Being cancelled."
    if job.state == states.PAUSED:
        return f"Paused at {size_text(job.bytes_done)} of {total}." if job.files_total else "Paused."
    if job.pause_requested:
        return "Being paused."
    if job.message:  # why it waits for its next attempt
        return job.message
    if job.state == states.PENDING:
        return "Waiting for a worker."
    if job.state == states.VERIFYING:
        return f"All {total} are copied and are being verified."
    if not job.files_total:
        return "Listing the files."
    sentence = f"{size_text(job.bytes_done)} of {total}"
    if seconds_left is not None:
        sentence += f", {size_text(job.bytes_per_second)}/s, {duration_text(seconds_left)} left"
    return sentence


def _done_sentence(job: Round, total: str) -> str:
    files = f"{job.files_total} {'file' if job.files_total == 1 else 'files'}, {total}"
    if not job.bytes_copied and job.bytes_total:
        return f"{files}: already on this node, nothing was copied."
    if job.started_at and job.finished_at:
        took = duration_text((job.finished_at - job.started_at).total_seconds())
        return f"{files}: copied and verified in {took}."
    return f"{files}: copied and verified."
