"""Pages that belong to no app, and the answer of last resort."""

from __future__ import annotations

import sys

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template import loader
from django.views import defaults

from console.web import problems, trouble

API = "/api/v1/"


@login_not_required
def alive(request: HttpRequest) -> HttpResponse:
    """The web process answers. Asks nobody else: /healthz does."""
    return HttpResponse("ok\n", content_type="text/plain")


def server_error(request: HttpRequest) -> HttpResponseBase:
    """What no other handler sees: an error while an answer is rendered, or in a middleware that saves a session."""
    error = sys.exc_info()[1]
    cause = trouble.of_request(error) if error is not None else None
    if request.path.startswith(API):
        response = (
            problems.problem(cause.code, cause.status, cause.message, hint=cause.hint)
            if cause
            else problems.problem("internal", 500, problems.UNEXPECTED)
        )
        return JsonResponse(response.data, status=response.status_code, content_type=problems.PROBLEM)
    if cause is None:
        return defaults.server_error(request)
    # Render without the request: reading the session may have failed.
    return HttpResponse(loader.render_to_string("trouble.html", {"error": cause}), status=cause.status)
