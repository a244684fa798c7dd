"""What people ask of rounds: request one, cancel, pause, resume, try again."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from console import roles
from console.accounts import bounds
from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields
from datasets import dispatch, states, wiring
from datasets.actions import refusals
from datasets.actions.round_log import announce, say
from datasets.errors import SourceError
from datasets.models import Dataset, Round
from datasets.sources.base import clean_path


def request_round(dataset: Dataset, path: str = "", *, mode: str = states.MIRROR, actor: Principal) -> Round:
    """The round that copies `path` to this node: the one under way, or a new one. Raises InvalidFields.

    `mode` says what becomes of files that were copied before and are gone from the source: states.MODES.
    """
    actor.require(dataset.team, roles.EDITOR)
    if mode not in dict(states.MODES):
        raise InvalidFields({"mode": f"Choose one of {', '.join(dict(states.MODES))}."})
    path = _checked_path(dataset, path)
    for _ in range(3):
        if (active := _active_round(dataset, path)) is not None:
            return active
        try:
            with transaction.atomic():
                mine = Round.objects.active().filter(dataset__team=dataset.team)
                bounds.require_room(dataset.team, bounds.PREHEATS, mine, actor=actor)
                created = Round.objects.create(
                    dataset=dataset, path=path, node=settings.NODE_NAME, mode=mode, requested_by=actor.label
                )
                say(created.pk, f"Requested by {actor.label}.")
                dispatch.run_round(created.pk)
        except IntegrityError:  # another request was first: take its round, unless that is over already
            continue
        else:
            return created
    raise Conflict("This path is being prepared by several requests at once.", hint="Try again.")


def cancel(job: Round, *, actor: Principal) -> Round:
    """Asks the worker to stop, or ends a round that nobody works on. Raises Conflict when it is over already."""
    actor.require(job.dataset.team, roles.EDITOR)
    # The wish first: a worker that claims the round between these two statements sees it at once.
    wished = Round.objects.active().filter(pk=job.pk).update(cancel_requested=True)
    nobodys = Q(lease_token="") | Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    with transaction.atomic():
        if (
            Round.objects.active()
            .filter(nobodys, pk=job.pk)
            .update(
                state=states.CANCELLED,
                message=f"Cancelled by {actor.label}.",
                finished_at=timezone.now(),
                lease_token="",
                lease_until=None,
            )
        ):
            say(job.pk, f"Cancelled by {actor.label}.")
            announce(job.pk)
    job.refresh_from_db()
    if not wished and job.state != states.CANCELLED:
        raise Conflict(f"This round is over already: {job.get_state_display().lower()}.")
    return job


def cancel_on(node: str, *, actor: Principal) -> None:
    """Ends the rounds that wait for a node which is gone: nobody else would."""
    actor.require_admin()
    with transaction.atomic():
        for pk in list(Round.objects.active().filter(node=node).values_list("pk", flat=True)):
            if (
                Round.objects.active()
                .filter(pk=pk)
                .update(
                    state=states.CANCELLED,
                    message=f"Node {node} is gone.",
                    finished_at=timezone.now(),
                    lease_token="",
                    lease_until=None,
                )
            ):
                say(pk, f"Cancelled: node {node} is gone.")
                announce(pk)


def pause(job: Round, *, actor: Principal) -> Round:
    """Has the worker stop and keep what it has; a round that nobody works on is paused at once. Raises Conflict."""
    actor.require(job.dataset.team, roles.EDITOR)
    wished = Round.objects.underway().filter(pk=job.pk).update(pause_requested=True)
    nobodys = Q(lease_token="") | Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    if (
        Round.objects.underway()
        .filter(nobodys, pk=job.pk)
        .update(state=states.PAUSED, pause_requested=False, lease_token="", lease_until=None)
    ):
        say(job.pk, "Paused before a worker had it.")
    job.refresh_from_db()
    if not wished and job.state != states.PAUSED:
        raise Conflict(f"This round is over already: {job.get_state_display().lower()}.")
    if wished:
        say(job.pk, f"{actor.label} asked to pause.")
    return job


def resume(job: Round, *, actor: Principal) -> Round:
    """PAUSED -> PENDING. Raises Conflict for a round that is not paused."""
    actor.require(job.dataset.team, roles.EDITOR)
    with transaction.atomic():
        resumed = Round.objects.filter(pk=job.pk, state=states.PAUSED).update(
            state=states.PENDING, message="", attempts=0
        )
        withdrawn = Round.objects.underway().filter(pk=job.pk, pause_requested=True).update(pause_requested=False)
        if resumed:
            say(job.pk, f"Resumed by {actor.label}.")
            dispatch.run_round(job.pk)
    job.refresh_from_db()
    if not resumed and not withdrawn:
        raise Conflict(f"This round is not paused but {job.get_state_display().lower()}.")
    return job


def retry(job: Round, *, actor: Principal) -> Round:
    """A new round for the path of one that failed or was cancelled; it goes on with what a failed one had copied."""
    if job.state not in {states.FAILED, states.CANCELLED}:
        raise Conflict(f"Only a round that failed or was cancelled is tried again; this one is {job.state}.")
    return request_round(job.dataset, job.path, mode=job.mode, actor=actor)


def _active_round(dataset: Dataset, path: str) -> Round | None:
    job: Round | None = Round.objects.active().filter(dataset=dataset, path=path, node=settings.NODE_NAME).first()
    return job


def _checked_path(dataset: Dataset, path: str) -> str:
    """The path as it is stored. A source that is away for a while is no reason to refuse: the round will retry."""
    try:
        path = clean_path(path)
        if len(path) > 1024:
            raise SourceError("A path can have at most 1024 characters.")
        wiring.source_of(dataset).entry(path)
    except SourceError as error:
        refusals.count(error, f"dataset {dataset.name}")
        if error.permanent:
            raise InvalidFields({"path": str(error)}) from error
    return path
