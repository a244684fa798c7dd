"""Pages that belong to no app."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse


@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """The web process answers. Asks neither database nor broker, so that it says nothing about them."""
    return HttpResponse("ok\n", content_type="text/plain")
