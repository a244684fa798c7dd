"""The page of one round, and what can be asked of it. Each view parses, calls one action or reader and renders."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from console import roles
from console.accounts.principal import Principal
from console.web.pages import actor_of, wants_fragment
from datasets import states
from datasets.actions import verbs
from datasets.actions.rounds import cancel, pause, resume, retry
from datasets.models import Dataset, Round
from datasets.queries import progress, round_files

FILES = 100
"""Files that are shown at once."""
FAST, FILES_EVERY, SLOW = 1, 2, 5
"""Seconds between two looks: at a round under way, at its files, and at one that is paused."""
SAID = {
    verbs.CANCEL: "The round is being cancelled.",
    verbs.PAUSE: "The round is being paused. What was copied stays.",
    verbs.RESUME: "The round goes on.",
    verbs.RETRY: "The folder is being prepared again.",
}
VERBS = {
    verbs.CANCEL: cancel,
    verbs.PAUSE: pause,
    verbs.RESUME: resume,
    verbs.RETRY: retry,
}


def find(request: HttpRequest, name: str) -> tuple[Dataset, Principal]:
    """Raises Http404 also for another team's: who may not see it is not told that it exists."""
    actor = actor_of(request)
    return get_object_or_404(Dataset.objects.visible_to(actor).select_related("team"), name=name), actor


def rows(jobs: list[Round]) -> list[tuple[Round, progress.Progress, tuple[str, ...]]]:
    """Rounds as lists of them show each: with how far it is, and what can be asked of it."""
    return [(round_, progress.progress(round_), verbs.possible(round_)) for round_ in jobs]


@require_safe
def detail(request: HttpRequest, name: str, pk: int) -> HttpResponse:
    """The whole page; for a poll how far the round is, or its files (`state`, `page`), as it says itself."""
    dataset, actor = find(request, name)
    round_ = _find_round(dataset, pk)
    if not wants_fragment(request):
        return render(request, "datasets/round.html", _head(round_, actor) | _files(request, round_))
    if request.headers.get("HX-Target") == "round-files":
        return render(request, "datasets/_round_files.html", _files(request, round_))
    return render(request, "datasets/_round.html", _head(round_, actor))


@require_POST
def act(request: HttpRequest, name: str, pk: int, verb: str) -> HttpResponse:
    """One verb, then the page of the round that it was about; of a retry the new one's."""
    dataset, actor = find(request, name)
    round_ = VERBS[verb](_find_round(dataset, pk), actor=actor)
    messages.success(request, SAID[verb])
    if request.POST.get("back") == "dataset":
        return redirect(reverse("dataset", args=[name]) + "#rounds")
    return redirect("round", name, round_.pk)


def _find_round(dataset: Dataset, pk: int) -> Round:
    job: Round = get_object_or_404(Round.objects.select_related("dataset__team"), dataset=dataset, pk=pk)
    return job


def _head(round_: Round, actor: Principal) -> dict[str, Any]:
    name = round_.dataset.name
    return {
        "dataset": round_.dataset,
        "round": round_,
        "progress": progress.progress(round_),
        "verbs": verbs.possible(round_),
        "took": _took(round_),
        "log": round_files.log_of(round_),
        "may_edit": actor.may(round_.dataset.team_id, roles.EDITOR),
        "every": FAST if round_.state in states.UNDERWAY else SLOW,
        "crumbs": [("Datasets", reverse("datasets")), (name, reverse("dataset", args=[name]))],
    }


def _took(round_: Round) -> float | None:
    """Seconds from the first claim to the end; None before that."""
    if round_.started_at is None or round_.finished_at is None:
        return None
    return (round_.finished_at - round_.started_at).total_seconds()


def _files(request: HttpRequest, round_: Round) -> dict[str, Any]:
    requested_state = request.GET.get("state", "")
    state = requested_state if requested_state in round_files.STATES else ""
    listing = round_files.files_of(round_, state)
    here = reverse("round", args=[round_.dataset.name, round_.pk])
    choices = [("All", "", listing.total), *((each.title(), each, listing.counts[each]) for each in round_files.STATES)]
    page = Paginator(listing.rows, FILES).get_page(request.GET.get("page"))
    return {
        "dataset": round_.dataset,
        "round": round_,
        "page": page,
        "files": [(row, round_files.seconds_left(row)) for row in page],
        "choices": [(label, each, count, f"{here}?state={each}#round-files") for label, each, count in choices],
        "asked": state,
        "missing": listing.missing,
        "files_url": f"{here}?{urlencode({**({'state': state} if state else {}), 'page': page.number})}",
        "files_every": FILES_EVERY if round_.state in states.UNDERWAY else SLOW,
        "over": round_.state in states.TERMINAL,
    }
