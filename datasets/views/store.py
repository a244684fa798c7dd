"""The store of this node, for administrators: what is in it, who needs it, what goes next."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from console.errors import Conflict
from console.formats.units import size_text
from console.web.pages import actor_of, paginate
from datasets.actions import store as store_actions
from datasets.queries import store as store_queries


@require_safe
def store(request: HttpRequest) -> HttpResponse:
    """Not polled: reading it takes longer the more the store holds."""
    actor_of(request).require_admin()
    use = store_queries.read()
    return render(request, "store/page.html", {"store": use, "trees": paginate(request, use.trees)})


@require_POST
def evict(request: HttpRequest, digest: str) -> HttpResponse:
    try:
        freed = store_actions.evict(digest, actor=actor_of(request))
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The files were removed; {size_text(freed)} became free.")
    return redirect("store")


@require_POST
def verify(request: HttpRequest, digest: str) -> HttpResponse:
    store_actions.verify(digest, actor=actor_of(request))
    messages.success(request, "A worker reads the files again. Reload this page to see how it went.")
    return redirect("store")
