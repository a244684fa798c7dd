"""What a service's processes wrote. Logs are kept by replica name, also of revisions and processes that are gone."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from console.pages import page
from services.actions import wiring
from services.engines.base import Engine
from services.models import Replica, Service
from services.views.shared import find, frame

REVISIONS = 10
"""So many of the newest revisions are looked through for logs."""
SPARE_INDEXES = 4
"""A replica that comes while another drains gets an index beyond the service's size."""
FIRST_LOOK = 64 << 10


@dataclass(frozen=True)
class Choice:
    """One log that can be read."""

    name: str
    label: str


@require_safe
def logs(request: HttpRequest, name: str) -> HttpResponse:
    """The end of one replica's log, which then grows: by htmx, the text after `offset` and the next poller."""
    service, actor = find(request, name)
    engine = wiring.engine()
    choices = _choices(service, engine)
    chosen = request.GET.get("replica") or (choices[0].name if choices else "")
    if chosen and chosen not in {choice.name for choice in choices}:
        raise Http404(f"{service.name} has no log of {chosen}.")
    offset = request.GET.get("offset", "")
    chunk = engine.logs(chosen, int(offset) if offset.isdecimal() else None, FIRST_LOOK) if chosen else None
    context = {
        **frame(service, actor, "service-logs"),
        "choices": [(c.name, c.label) for c in choices], "chosen": chosen, "chunk": chunk,
    }
    return page(request, "services/logs.html", "services/_log_chunk.html", context)


def _choices(service: Service, engine: Engine) -> list[Choice]:
    """Running replicas first, then whatever left a log, newest revision first."""
    rows = {replica.process_name: replica for replica in service.replica_set.all()}
    newest = service.revisions.values_list("number", flat=True)[:REVISIONS]
    indexes = range(max([service.replicas, *(row.index + 1 for row in rows.values())]) + SPARE_INDEXES)
    gone = [
        Choice(name, f"revision {number}, replica {index}: ended")
        for number in newest for index in indexes
        if (name := f"svc-{service.name}-r{number}-{index}") not in rows and engine.logs(name, 0, 64).next_offset
    ]
    present = sorted(rows.values(), key=lambda row: (-row.revision.number, row.index))
    return [*(Choice(row.process_name, _label(row)) for row in present), *gone]


def _label(row: Replica) -> str:
    return f"revision {row.revision.number}, replica {row.index}: {row.state.lower()}"
