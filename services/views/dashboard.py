"""The first page: what runs, what waits and why."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from console.accounts import teams
from console.web.pages import actor_of, page
from services import states
from services.queries import dashboard as reading

ORDER = (
    states.READY,
    states.DEGRADED,
    states.STARTING,
    states.QUEUED,
    states.PREHEATING,
    states.FAILED,
    states.STOPPING,
    states.STOPPED,
)
ALWAYS = {states.READY, states.QUEUED, states.FAILED}
"""Shown also when there is none; the others only when there is one."""


def dashboard(request: HttpRequest) -> HttpResponse:
    """The whole page, or for a poll what changes of it."""
    actor = actor_of(request)
    read = reading.read(actor)
    tiles = [(state, states.LABELS[state], states.COLOURS[state], read.counts[state]) for state in ORDER]
    shown = [tile for tile in tiles if tile[3] or tile[0] in ALWAYS]
    return page(
        request,
        "dashboard/page.html",
        "dashboard/_live.html",
        {"board": read, "tiles": shown, "may_create": teams.editable_by(actor).exists()},
    )
