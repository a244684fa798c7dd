"""Pages that belong to no app, and the answer of last resort."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views import defaults

from console import api

API = "/api/v1/"


@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """The web process answers. Asks neither database nor broker, so that it says nothing about them."""
    return HttpResponse("ok\n", content_type="text/plain")


def server_error(request: HttpRequest) -> HttpResponseBase:
    """What the API's own handler does not see, such as an error while an answer is rendered."""
    if not request.path.startswith(API):
        return defaults.server_error(request)
    said = api.problem("internal", 500, api.UNEXPECTED)
    return JsonResponse(said.data, status=said.status_code, content_type=api.PROBLEM)
