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
LABELS = dict(zip(round_files.STATES, ("Copying", "Waiting", "Copied"), strict=True))
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
    return [(job, progress.progress(job), verbs.possible(job)) for job in jobs]


@require_safe
def detail(request: HttpRequest, name: str, pk: int) -> HttpResponse:
    """The whole page; for a poll how far the round is, or its files (`state`, `page`), as it says itself."""
    dataset, actor = find(request, name)
    job = _find_round(dataset, pk)
    if not wants_fragment(request):
        return render(request, "datasets/round.html", _head(job, actor) | _files(request, job))
    if request.headers.get("HX-Target") == "round-files":
        return render(request, "datasets/_round_files.html", _files(request, job))
    return render(request, "datasets/_round.html", _head(job, actor))


@require_POST
def act(request: HttpRequest, name: str, pk: int, verb: str) -> HttpResponse:
    """One verb, then the page of the round that it was about; of a retry the new one's."""
    dataset, actor = find(request, name)
    job = VERBS[verb](_find_round(dataset, pk), actor=actor)
    messages.success(request, SAID[verb])
    if request.POST.get("back") == "dataset":
        return redirect(reverse("dataset", args=[name]) + "#rounds")
    return redirect("round", name, job.pk)


def _find_round(dataset: Dataset, pk: int) -> Round:
    job: Round = get_object_or_404(Round.objects.select_related("dataset__team"), dataset=dataset, pk=pk)
    return job


def _head(job: Round, actor: Principal) -> dict[str, Any]:
    name = job.dataset.name
    return {
        "dataset": job.dataset,
        "round": job,
        "progress": progress.progress(job),
        "verbs": verbs.possible(job),
        "took": _took(job),
        "log": round_files.log_of(job),
        "may_edit": actor.may(job.dataset.team_id, roles.EDITOR),
        "every": FAST if job.state in states.UNDERWAY else SLOW,
        "crumbs": [("Datasets", reverse("datasets")), (name, reverse("dataset", args=[name]))],
    }


def _took(job: Round) -> float | None:
    """Seconds from the first claim to the end; None before that."""
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


def _files(request: HttpRequest, job: Round) -> dict[str, Any]:
    requested_state = request.GET.get("state", "")
    state = requested_state if requested_state in round_files.STATES else ""
    listing = round_files.files_of(job, state)
    here = reverse("round", args=[job.dataset.name, job.pk])
    choices = [("All", "", listing.total), *((LABELS[each], each, listing.counts[each]) for each in round_files.STATES)]
    page = Paginator(listing.rows, FILES).get_page(request.GET.get("page"))
    return {
        "dataset": job.dataset,
        "round": job,
        "page": page,
        "files": [(row, round_files.seconds_left(row)) for row in page],
        "choices": [(label, each, count, f"{here}?state={each}#round-files") for label, each, count in choices],
        "state": state,
        "label": LABELS.get(state, "").lower(),
        "missing": listing.missing,
        "files_url": f"{here}?{urlencode({**({'state': state} if state else {}), 'page': page.number})}",
        "files_every": FILES_EVERY if job.state in states.UNDERWAY else SLOW,
        "over": job.state in states.TERMINAL,
    }
