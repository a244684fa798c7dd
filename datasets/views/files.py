"""What the files of a folder say, and whether the team trusts what of them runs as code."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from console import roles
from console.web.pages import page
from datasets.actions import trust as trusting
from datasets.errors import SourceError
from datasets.queries import reports
from datasets.views.rounds import find


def card(request: HttpRequest, name: str) -> HttpResponse:
    """The card for one folder (`?path=`). It comes after the page: reading through a source takes a while."""
    dataset, actor = find(request, name)
    path = request.GET.get("path", "")
    context = {
        "dataset": dataset,
        "path": path,
        "may_trust": actor.may(dataset.team_id, roles.OWNER),
        "crumbs": [("Datasets", reverse("datasets")), (name, reverse("dataset", args=[name]))],
    }
    try:
        seen = reports.read(dataset, path)
        context |= {"path_report": seen, "report": seen.report}
    except SourceError as error:
        context |= {"problem": str(error)}
    return page(request, "datasets/said.html", "datasets/_said.html", context)


@require_POST
def trust(request: HttpRequest, name: str) -> HttpResponse:
    """POST `trusted`: "yes" or anything else; with "yes" `seen` and `later_changes`. Only for owners of the team."""
    dataset, actor = find(request, name)
    if request.POST.get("trusted") == "yes":
        later = request.POST.get("later_changes") == "yes"
        trusting.trust(dataset, actor=actor, seen=request.POST.get("seen", ""), later_changes=later)
        messages.success(request, f"Services may run the code in the files of {name} from now on.")
    else:
        trusting.withdraw(dataset, actor=actor)
        messages.success(request, f"No further service runs the code in the files of {name}. Those that run go on.")
    return redirect("dataset", name)
