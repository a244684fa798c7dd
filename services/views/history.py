"""What happened to a service: its events and its revisions."""

from __future__ import annotations

from itertools import pairwise

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from console.web.pages import page as answer
from console.web.pages import paginate
from services.models import Service
from services.queries.diffs import changes
from services.views.shared import find, frame


@require_safe
def events(request: HttpRequest, name: str) -> HttpResponse:
    service, actor = find(request, name)
    page = paginate(request, service.events.all())
    context = {**frame(service, actor, "service-events"), "page": page}
    return answer(request, "services/events.html", "services/_events.html", context)


@require_safe
def revisions(request: HttpRequest, name: str) -> HttpResponse:
    """Newest first, each with what it changed. The oldest on a page is compared with the first of the next page."""
    service, actor = find(request, name)
    page = paginate(request, service.revisions.all())
    context = {**frame(service, actor, "service-revisions"), "page": page, "rows": _rows(service, page)}
    return answer(request, "services/revisions.html", "services/_revisions.html", context)


def _rows(service: Service, page: object) -> list[dict[str, object]]:
    page_revisions = list(page)  # type: ignore[call-overload]
    before = service.revisions.filter(number__lt=page_revisions[-1].number).first() if page_revisions else None
    return [
        {"revision": new, "changes": changes(old.spec, new.spec) if old else None, "first": old is None}
        for new, old in pairwise([*page_revisions, before])
    ]
