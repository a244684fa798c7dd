"""Pages of datasets: list, create, browse, preheat. Each parses, calls one action and renders."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from console import roles
from console.accounts import teams
from console.accounts.principal import Principal
from console.errors import Forbidden, InvalidFields
from console.web.pages import actor_of, carry_out, paginate, wants_fragment
from datasets import states
from datasets.actions import datasets, trust
from datasets.actions.rounds import request_round
from datasets.errors import SourceError
from datasets.forms import DatasetEditForm, DatasetForm
from datasets.models import Dataset, Round
from datasets.queries import browsing, facts
from datasets.sources import registry
from datasets.views import rounds as round_views
from datasets.views.connection_test import TestResult, allowed, run_test

FOLDER_PAGE = 200
"""Entries of a folder that are shown at once."""
ROUNDS = 20
FAST, SLOW = 1, 5
"""Seconds between two looks at the rounds: while one is under way, and otherwise."""


@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: HttpRequest) -> HttpResponse:
    """The datasets of the person's teams; POST makes one, or looks whether it would work. `?new` shows its form."""
    actor = actor_of(request)
    kind = (request.POST if request.method == "POST" else request.GET).get("kind", registry.FIRST)
    form, looked = None, None
    if request.method == "POST":
        if (team := teams.editable_by(actor).first()) is None:
            raise Forbidden("Making a dataset needs the role editor in a team.", hint="Ask an owner of your team.")
        form = posted = DatasetForm(request.POST, actor=actor, kind=_registered(kind))
        if "again" in request.POST:  # another kind was chosen, and there is no script to show its fields
            form = DatasetForm(initial=request.POST.dict(), actor=actor, kind=_registered(kind))
        elif "check" in request.POST:
            looked = run_test(form, lambda **location: datasets.check(team=team, kind=kind, actor=actor, **location))
            if wants_fragment(request):
                return render(request, "datasets/_looked.html", {"form": form, "looked": looked})
        elif new_dataset := carry_out(posted, lambda _: datasets.create(**posted.content(), kind=kind, actor=actor)):
            messages.success(request, f"Dataset {new_dataset.name} is there. Choose a folder to prepare or to serve.")
            return redirect("dataset", new_dataset.name)
    elif "new" in request.GET:
        form = DatasetForm(actor=actor, kind=_registered(kind))
        if wants_fragment(request):
            return render(request, "datasets/_location.html", {"form": form, **allowed(form.kind)})
    rows = Dataset.objects.visible_to(actor).select_related("team")
    page = paginate(request, rows)
    context = {
        "page": page,
        "form": form,
        "looked": looked,
        "rows": [(dataset, facts.kind_of(dataset), facts.where(dataset)) for dataset in page],
        "kinds": registry.kinds(),
        "is_admin": actor.is_admin,
        "may_create": teams.editable_by(actor).exists(),
    }
    return render(request, "datasets/list.html", {**context, **allowed(form.kind if form else "")})


def _registered(kind: str) -> str:
    """The kind, or the first one for an unknown kind: the action names the error, and the form needs fields."""
    return kind if kind in registry.SOURCES else registry.FIRST


def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One folder of a dataset (`?path=`, `?after=`): what is in it, what it is, and the rounds."""
    dataset, actor = round_views.find(request, name)
    path, after = request.GET.get("path", ""), request.GET.get("after", "")
    context = _frame(dataset, actor)
    try:
        listing = browsing.browse(dataset, path, after=after, limit=FOLDER_PAGE)
    except SourceError as error:
        return render(request, "datasets/detail.html", {**context, "error": error, "path": ""}, status=error.status)
    here = reverse("dataset", args=[name])
    context |= {
        "listing": listing,
        "path": listing.path,
        "up": [(crumb.name, _address(here, crumb.path)) for crumb in listing.breadcrumbs],
        "rows": [(entry, _address(here, entry.path)) for entry in listing.entries],
        "first": _address(here, listing.path) if after else "",
        "after": _address(here, listing.path, listing.next) if listing.next else "",
        "reads_itself": listing.recognised.kind in {"triton_model", "huggingface", "onnx"},
        "serve_url": f"{reverse('service-new')}?{urlencode({'dataset': name, 'path': listing.path})}",
    }
    return render(request, "datasets/detail.html", context)


def _address(here: str, path: str, after: str = "") -> str:
    query = {name: value for name, value in (("path", path), ("after", after)) if value}
    return f"{here}?{urlencode(query)}" if query else here


def rounds(request: HttpRequest, name: str) -> HttpResponse:
    """The fragment that polls itself: the newest rounds with how far each is."""
    dataset, actor = round_views.find(request, name)
    return render(request, "datasets/_rounds.html", _frame(dataset, actor))


@require_POST
def preheat(request: HttpRequest, name: str) -> HttpResponse:
    dataset, actor = round_views.find(request, name)
    path = request.POST.get("path", "").replace("\r\n", "\n")  # a form sends each line break of a name as two signs
    job = request_round(dataset, path, mode=request.POST.get("mode", states.MIRROR), actor=actor)
    messages.success(request, f"{job.path or dataset.name} is being prepared on node {job.node}.")
    return redirect(_address(reverse("dataset", args=[name]), job.path) + "#rounds")


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """POST saves, or only looks whether it would work."""
    dataset, actor = round_views.find(request, name)
    actor.require(dataset.team, roles.EDITOR)
    form, looked = DatasetEditForm.of(dataset, request.POST if request.method == "POST" else None), None
    if "check" in request.POST:
        looked = run_test(form, lambda **location: datasets.check_dataset(dataset, actor=actor, **location))
        if wants_fragment(request):
            return render(request, "datasets/_looked.html", {"form": form, "looked": looked})
    elif carry_out(form, lambda _: datasets.update(dataset, **form.content(), actor=actor)):
        messages.success(request, f"Dataset {name} was changed.")
        return redirect("dataset", name)
    context = {"dataset": dataset, "form": form, "looked": looked, "crumbs": _crumbs(dataset)}
    return render(request, "datasets/edit.html", {**context, **allowed(dataset.kind)})


@require_POST
def check(request: HttpRequest, name: str) -> HttpResponse:
    """Whether the source answers, as the dataset is."""
    dataset, actor = round_views.find(request, name)
    try:
        sentence = datasets.check_dataset(dataset, actor=actor)
    except InvalidFields as error:
        looked = TestResult(False, error.text)
    else:
        looked = TestResult(True, sentence)
    if wants_fragment(request):
        return render(request, "datasets/_looked.html", {"looked": looked})
    (messages.success if looked.good else messages.error)(request, looked.sentence)
    return redirect("dataset", name)


@require_POST
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Only with the name typed: a form that was sent by mistake deletes nothing."""
    dataset, actor = round_views.find(request, name)
    actor.require(dataset.team, roles.EDITOR)
    if request.POST.get("confirm") != name:
        raise InvalidFields({"confirm": f"Type the name of the dataset, {name}, to delete it."})
    datasets.delete(dataset, actor=actor)
    messages.success(request, f"Dataset {name} was deleted. The files it was read from are untouched.")
    return redirect("datasets")


def _frame(dataset: Dataset, actor: Principal) -> dict[str, Any]:
    newest = list(Round.objects.filter(dataset=dataset)[:ROUNDS])
    moving = any(job.state in states.UNDERWAY for job in newest)
    return {
        "dataset": dataset,
        "may_edit": actor.may(dataset.team_id, roles.EDITOR),
        "may_trust": actor.may(dataset.team_id, roles.OWNER),
        "seen": trust.digest(dataset),
        "node": settings.NODE_NAME,
        "rounds": round_views.rows(newest),
        "modes": states.MODES,
        "every": FAST if moving else SLOW,
        "crumbs": [("Datasets", reverse("datasets"))],
        "kind": facts.kind_of(dataset),
        "facts": facts.options_of(dataset),
        "credentials": facts.credentials_of(dataset),
    }


def _crumbs(dataset: Dataset) -> list[tuple[str, str]]:
    return [("Datasets", reverse("datasets")), (dataset.name, reverse("dataset", args=[dataset.name]))]
