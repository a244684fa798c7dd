"""Queues and nodes: everybody looks, administrators change."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from console.errors import InvalidFields
from console.web.pages import actor_of, carry_out, page, paginate
from services import states
from services.actions import places
from services.control.queues import lines
from services.forms.places import NodeForm, QueueEditForm, QueueForm
from services.models import Node, Queue, Replica, Service
from services.policies.admission import FAIR, STRICT
from services.queries import dashboard, devices

ORDER_SAYS = {
    FAIR: "By team in turn, the one that holds least first. What fits passes what does not fit yet; after {patience}"
    " minutes one that was passed comes first, for {hold} minutes.",
    STRICT: "First come, first served: nobody passes one that does not fit yet.",
}


@require_http_methods(["GET", "HEAD", "POST"])
def queues(request: HttpRequest) -> HttpResponse:
    """The list; POST makes a queue. `?new` shows its form."""
    actor = actor_of(request)
    form = QueueForm(request.POST or None) if actor.is_admin and (request.POST or "new" in request.GET) else None
    if request.method == "POST":
        actor.require_admin()
        if form and (new_queue := carry_out(form, lambda data: places.create_queue(**data, actor=actor))):
            messages.success(request, f"Queue {new_queue.name} is ready for services.")
            return redirect("queue", new_queue.name)
    return page(
        request,
        "places/queues.html",
        "places/_queues.html",
        {"queues": paginate(request, dashboard.queue_uses()), "form": form, "is_admin": actor.is_admin},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def queue(request: HttpRequest, name: str) -> HttpResponse:
    """One queue with what runs and waits in it; POST changes it, or deletes it when `verb` says so."""
    row, actor = get_object_or_404(Queue, name=name), actor_of(request)
    form, wrong = QueueEditForm.of(row), ""
    if request.method == "POST" and request.POST.get("verb") == "delete":
        try:
            places.delete_queue(row, actor=actor, confirm=request.POST.get("confirm", ""))
        except InvalidFields as error:
            wrong = error.text
        else:
            messages.success(request, f"Queue {name} was deleted.")
            return redirect("queues")
    elif request.method == "POST":
        actor.require_admin()
        form = QueueEditForm(request.POST)
        if carry_out(form, lambda data: places.edit_queue(row, data, actor=actor)):
            messages.success(request, f"Queue {name} was changed.")
            return redirect("queue", name)
    context = {
        "queue": next(use for use in dashboard.queue_uses() if use.name == name),
        "form": form,
        "delete_error": wrong,
        "is_admin": actor.is_admin,
        "delete_fields": [("verb", "delete")],
        "crumbs": [("Queues", reverse("queues"))],
        "order": ORDER_SAYS[row.order].format(patience=row.patience_minutes, hold=row.hold_minutes),
        **_services_in(request, row),
    }
    return page(request, "places/queue.html", "places/_queue.html", context)


def _services_in(request: HttpRequest, queue: Queue) -> dict[str, Any]:
    """What of the queue's services this person may see; of the others only how many wait before.

    In the line's order; at its end, with the position 0, those that could not start even if nothing ran.
    """
    actor = actor_of(request)
    positions = {pk: standing.position for pk, standing in lines.load(queue).standings.items()}
    waiting = paginate(
        request,
        sorted(
            Service.objects.waiting_in(queue.name).values_list("pk", flat=True),
            key=lambda pk: positions.get(pk) or len(positions) + 1,
        ),
        "waiting",
    )
    visible = Service.objects.visible_to(actor).filter(target__spec__queue=queue.name).select_related("team")
    shown = visible.in_bulk(list(waiting))
    holding = Exists(Replica.objects.filter(service=OuterRef("pk")))
    running = visible.filter(holding).exclude(state=states.QUEUED)
    return {
        "waiting": waiting,
        "line": [(positions.get(pk, 0), shown.get(pk)) for pk in waiting],
        "running": paginate(request, running, "running"),
    }


def nodes(request: HttpRequest) -> HttpResponse:
    return page(request, "places/nodes.html", "places/_nodes.html", {"nodes": paginate(request, dashboard.node_uses())})


@require_http_methods(["GET", "HEAD", "POST"])
def node(request: HttpRequest, name: str) -> HttpResponse:
    """One node; POST changes its own labels and whether it takes new replicas, or removes it when `verb` says so."""
    row, actor = get_object_or_404(Node, name=name), actor_of(request)
    form, wrong = NodeForm.of(row), ""
    if request.method == "POST" and request.POST.get("verb") == "delete":
        try:
            places.delete_node(row, actor=actor, confirm=request.POST.get("confirm", ""))
        except InvalidFields as error:
            wrong = error.text
        else:
            messages.success(request, f"Node {name} was removed.")
            return redirect("nodes")
    elif request.method == "POST":
        actor.require_admin()
        form = NodeForm(request.POST)
        if carry_out(form, lambda data: places.edit_node(row, **data, actor=actor)):
            messages.success(request, f"Node {name} was changed.")
            return redirect("node", name)
    visible = Service.objects.visible_to(actor)
    context = {
        "node": next(use for use in dashboard.node_uses() if use.name == name),
        "devices": devices.of(row, devices.holders(actor)),
        "form": form,
        "delete_error": wrong,
        "delete_fields": [("verb", "delete")],
        "is_admin": actor.is_admin,
        "replicas": paginate(
            request,
            Replica.objects.filter(node=name, service__in=visible)
            .select_related("service", "revision")
            .order_by("service__name", "index", "pk"),
        ),
        "crumbs": [("Nodes", reverse("nodes"))],
    }
    return page(request, "places/node.html", "places/_node.html", context)
