"""What every page of one service needs: the service as the person may see it, and the frame around it."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse

from console import roles
from console.accounts.principal import Principal
from console.errors import NotFound
from console.web.pages import actor_of
from services import states
from services.models import Service
from services.queries import service_status

TABS: Final = (
    ("Overview", "service"),
    ("Test", "service-test"),
    ("Access", "service-access"),
    ("Logs", "service-logs"),
    ("Events", "service-events"),
    ("Revisions", "service-revisions"),
)
FAST, SLOW = 1, 5
"""Seconds between two looks at a service: while something moves, and otherwise."""


def find(request: HttpRequest, name: str) -> tuple[Service, Principal]:
    """Raises NotFound also when the service is another team's: who may not see it is not told that it exists."""
    actor = actor_of(request)
    service: Service | None = service_status.with_related(Service.objects.visible_to(actor)).filter(name=name).first()
    if service is None:
        raise NotFound(f"Service {name} does not exist, or you have no access to it.")
    return service, actor


def frame(service: Service, actor: Principal, current: str) -> dict[str, Any]:
    """The context of templates/services/layout.html; `current` is the name of the tab's URL."""
    return {
        "service": service,
        "not_published": service_status.not_published(service),
        "may_edit": actor.may(service.team_id, roles.EDITOR),
        "crumbs": [("Services", reverse("services"))],
        "tabs": [(label, reverse(url, args=[service.name]), url == current) for label, url in TABS],
    }


def pace(service: Service) -> int:
    return FAST if service.state in states.WAITING or service.target_id != service.serving_id else SLOW
