"""What every page request passes through: errors become a page or a fragment, and a policy says what pages may load."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from console.errors import ConsoleError, Forbidden, NotFound
from console.web import trouble

STOP_POLLING = 286
"""The status that ends a poll of htmx."""
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class ContentPolicy:
    """Pages run only the console's own scripts and styles, so that a name or a log line can never become code."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        return response


class ErrorPages:
    """A ConsoleError, or a disk or database in trouble, at the edge of a page request. The API maps its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if request.headers.get("X-Live") and _is_gone(exception):
            return _end_live(request)
        error = exception if isinstance(exception, ConsoleError) else trouble.of_request(exception)
        if error is None:
            return None
        template = "_error.html" if request.headers.get("HX-Request") else "error.html"
        return render(request, template, {"error": error}, status=error.status)


def _is_gone(exception: Exception) -> bool:
    """What a page shows was deleted, or this person may no longer see it."""
    return isinstance(exception, NotFound | Forbidden | Http404)


def _end_live(request: HttpRequest) -> HttpResponse:
    """Ends the poll of a page whose subject is gone. The page keeps what it showed last, under one notice."""
    response = render(request, "_gone.html", status=STOP_POLLING)
    response.headers["HX-Reswap"] = "none"
    return response
