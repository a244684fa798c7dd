"""What is wrong right now, as a part of every page, and for monitoring from outside."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from services.queries import standing


def problems(request: HttpRequest) -> HttpResponse:
    return render(request, "_problems.html", {"console_problems": standing.problems()})


@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """200 `ok`, or 503 with a sentence for each part that is not well. Says nothing of paths: anybody may ask."""
    current = standing.problems()
    text = "\n".join(problem.message for problem in current) or "ok"
    answer = HttpResponse(f"{text}\n", content_type="text/plain; charset=utf-8", status=503 if current else 200)
    answer._has_been_logged = True  # type: ignore[attr-defined]  # Django would log each as an error
    return answer
