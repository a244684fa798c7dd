"""What a service's processes wrote. Logs are kept by replica name, also of revisions and processes that are gone."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.errors import NotFound
from console.web.pages import wants_fragment, whole_number
from services import wiring
from services.engines.base import Engine
from services.models import Replica, Service
from services.specs import process_name, process_of
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
    engine, replica = wiring.engine(), request.GET.get("replica", "")
    if replica and not _is_of(service, replica):
        raise NotFound(f"{service.name} has no log of {replica}.")
    if replica and wants_fragment(request):
        chunk = engine.logs(replica, whole_number(request.GET.get("offset", "")), FIRST_LOOK)
        return render(request, "services/_log_chunk.html", {"service": service, "chosen": replica, "chunk": chunk})
    choices = _choices(service, engine)
    chosen = replica or (choices[0].name if choices else "")
    context = {
        **frame(service, actor, "service-logs"),
        "choices": [(c.name, c.label) for c in choices],
        "chosen": chosen,
        "chunk": engine.logs(chosen, None, FIRST_LOOK) if chosen else None,
    }
    return render(request, "services/logs.html", context)


def _is_of(service: Service, replica: str) -> bool:
    """Whether it is a name that a replica of this service has, or had: what else is in the log directory stays shut."""
    process = process_of(service.name, replica)
    return process is not None and service.revisions.filter(number=process[0]).exists()


def _choices(service: Service, engine: Engine) -> list[Choice]:
    """Running replicas first, then whatever left a log, newest revision first."""
    rows = {replica.process_name: replica for replica in service.replica_set.all()}
    newest = service.revisions.values_list("number", flat=True)[:REVISIONS]
    indexes = range(max([service.replicas, *(row.index + 1 for row in rows.values())]) + SPARE_INDEXES)
    gone = [
        Choice(name, f"revision {number}, replica {index}: ended")
        for number in newest
        for index in indexes
        if (name := process_name(service.name, number, index)) not in rows and engine.logs(name, 0, 64).next_offset
    ]
    present = sorted(rows.values(), key=lambda row: (-row.revision.number, row.index))
    return [*(Choice(row.process_name, _label(row)) for row in present), *gone]


def _label(row: Replica) -> str:
    return f"revision {row.revision.number}, replica {row.index}: {row.state.lower()}"
