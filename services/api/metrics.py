"""The console's own figures for Prometheus: for administrators, in a session or with a key for every team."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from console.accounts.principal import READ
from console.web.pages import actor_of
from services.actions import keys
from services.api.authentication import presented_key
from services.gateway import status
from services.usage import metering, prometheus


@never_cache
@login_not_required  # a scraper has no session: it is asked for a key below
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    presented = presented_key(request)
    actor = keys.authenticate(presented) if presented else actor_of(request)
    if actor is None or not (actor.is_admin or actor.scopes):
        message = "This needs an API key with the scope read for every team, or an administrator's session.\n"
        return HttpResponse(message, status=401, content_type="text/plain", headers={"WWW-Authenticate": "Bearer"})
    if not (actor.is_admin and READ in actor.scopes and not actor.restricted):
        return HttpResponse("Only an administrator may read the metrics.\n", status=403, content_type="text/plain")
    failed = status.failed_writes(settings.HOME.gateway)
    return HttpResponse(prometheus.text(metering.unread_bytes(), failed), content_type=CONTENT_TYPE_LATEST)
