"""The write layer of datasets: one function a verb, called by forms, the REST API, tasks and commands alike.

`claim`, `run` and `sweep` are what a worker does with a round; they live in leases.py and rounds.py.
What only reads is in reading.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from console import roles
from console.accounts import bounds
from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields
from console.models import Team
from datasets import dispatch, drafts, reading, refusals, states
from datasets.errors import SourceError
from datasets.leases import announce, claim, say
from datasets.models import NAME, Dataset, Round
from datasets.rounds import run, sweep
from datasets.signals import dataset_deleting
from datasets.sources.base import clean_path

RESERVED = {"check"}
"""Names that stand for something else in the addresses of pages and of the REST API."""

__all__ = [
    "cancel",
    "cancel_on",
    "check",
    "check_dataset",
    "claim",
    "create",
    "delete",
    "pause",
    "request_round",
    "resume",
    "retry",
    "run",
    "sweep",
    "update",
]


def create(
    *,
    team: Team,
    name: str,
    kind: str,
    options: Mapping[str, Any],
    credentials: Mapping[str, Any] | None = None,
    description: str = "",
    actor: Principal,
) -> Dataset:
    """A new dataset, once its source answers. Raises InvalidFields naming every field that is wrong, and TooOften."""
    actor.require(team, roles.EDITOR)
    draft = drafts.new(kind, options, credentials or {})
    if errors := _name_errors(name) | _description_errors(description) | _source_errors(draft, actor):
        raise InvalidFields(errors)
    try:
        with transaction.atomic():
            bounds.require_room(team, bounds.DATASETS, Dataset.objects.filter(team=team), actor=actor)
            return Dataset.objects.create(
                team=team,
                name=name,
                kind=kind,
                options=dict(options),
                credentials=draft.sealed(name),
                description=description,
                created_by=actor.label,
            )
    except IntegrityError as error:  # somebody took the name since it was looked up
        raise InvalidFields({"name": _taken(name)}) from error


def update(
    dataset: Dataset,
    *,
    actor: Principal,
    options: Mapping[str, Any] | None = None,
    credentials: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> Dataset:
    """Changes what is given; of `credentials` those that are named, "" removing one. The name stays: services and URLs
    refer to it. Raises InvalidFields, TooOften, and Conflict when somebody else changed the dataset meanwhile.
    """
    actor.require(dataset.team, roles.EDITOR)
    errors: dict[str, str] = {}
    fields: dict[str, Any] = {"updated_at": timezone.now()}
    if options is not None or credentials is not None:
        draft = drafts.changed(dataset, options, credentials)
        errors |= _source_errors(draft, actor)
        if not errors:
            fields |= {"options": dict(draft.options), "credentials": draft.sealed(dataset.name)}
    if description is not None:
        errors |= _description_errors(description)
        fields["description"] = description
    if errors:
        raise InvalidFields(errors)
    # Only what was looked at above: options of one request must not meet the credentials of another.
    if not Dataset.objects.filter(pk=dataset.pk, updated_at=dataset.updated_at).update(**fields):
        raise Conflict("Somebody else changed this dataset meanwhile.", hint="Look at it, then try again.")
    dataset.refresh_from_db()
    return dataset


def check(
    *, team: Team, kind: str, options: Mapping[str, Any], credentials: Mapping[str, Any] | None = None, actor: Principal
) -> str:
    """What a new dataset would reach, in a sentence. Makes none. Raises InvalidFields as `create`, and TooOften."""
    actor.require(team, roles.EDITOR)
    return _reached(drafts.new(kind, options, credentials or {}), actor)


def check_dataset(
    dataset: Dataset,
    *,
    actor: Principal,
    options: Mapping[str, Any] | None = None,
    credentials: Mapping[str, Any] | None = None,
) -> str:
    """What it reaches, or would reach with these changes, in a sentence. Raises as `check` does."""
    actor.require(dataset.team, roles.EDITOR)
    return _reached(drafts.changed(dataset, options, credentials), actor)


def delete(dataset: Dataset, *, actor: Principal) -> None:
    """Deletes a dataset and its rounds; a worker that copies one stops. Raises Conflict while a service uses it."""
    actor.require(dataset.team, roles.EDITOR)
    with transaction.atomic():
        dataset_deleting.send(Dataset, dataset=dataset)
        dataset.delete()


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
                say(created.pk, f"Asked for by {actor.label}.")
                dispatch.run_round(created.pk)
        except IntegrityError:  # another request was first: take its round, unless that is over already
            continue
        else:
            return created
    raise Conflict("This path is being prepared by several requests at once.", hint="Try again.")


def cancel(round_: Round, *, actor: Principal) -> Round:
    """Asks the worker to stop, or ends a round that nobody works on. Raises Conflict when it is over already."""
    actor.require(round_.dataset.team, roles.EDITOR)
    # The wish first: a worker that claims the round between these two statements sees it at once.
    wished = Round.objects.active().filter(pk=round_.pk).update(cancel_requested=True)
    nobodys = Q(lease_token="") | Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    with transaction.atomic():
        if (
            Round.objects.active()
            .filter(nobodys, pk=round_.pk)
            .update(
                state=states.CANCELLED,
                message=f"Cancelled by {actor.label}.",
                finished_at=timezone.now(),
                lease_token="",
                lease_until=None,
            )
        ):
            say(round_.pk, f"Cancelled by {actor.label}.")
            announce(round_.pk)
    round_.refresh_from_db()
    if not wished and round_.state != states.CANCELLED:
        raise Conflict(f"This round is over already: {round_.get_state_display().lower()}.")
    return round_


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


def pause(round_: Round, *, actor: Principal) -> Round:
    """Has the worker stop and keep what it has; a round that nobody works on is paused at once. Raises Conflict."""
    actor.require(round_.dataset.team, roles.EDITOR)
    wished = Round.objects.underway().filter(pk=round_.pk).update(pause_requested=True)
    nobodys = Q(lease_token="") | Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    if (
        Round.objects.underway()
        .filter(nobodys, pk=round_.pk)
        .update(state=states.PAUSED, pause_requested=False, lease_token="", lease_until=None)
    ):
        say(round_.pk, "Paused before a worker had it.")
    round_.refresh_from_db()
    if not wished and round_.state != states.PAUSED:
        raise Conflict(f"This round is over already: {round_.get_state_display().lower()}.")
    if wished:
        say(round_.pk, f"{actor.label} asked to pause.")
    return round_


def resume(round_: Round, *, actor: Principal) -> Round:
    """PAUSED -> PENDING. Raises Conflict for a round that is not paused."""
    actor.require(round_.dataset.team, roles.EDITOR)
    with transaction.atomic():
        resumed = Round.objects.filter(pk=round_.pk, state=states.PAUSED).update(
            state=states.PENDING, message="", attempts=0
        )
        withdrawn = Round.objects.underway().filter(pk=round_.pk, pause_requested=True).update(pause_requested=False)
        if resumed:
            say(round_.pk, f"Resumed by {actor.label}.")
            dispatch.run_round(round_.pk)
    round_.refresh_from_db()
    if not resumed and not withdrawn:
        raise Conflict(f"This round is not paused but {round_.get_state_display().lower()}.")
    return round_


def retry(round_: Round, *, actor: Principal) -> Round:
    """A new round for the path of one that failed or was cancelled; it goes on with what a failed one had copied."""
    if round_.state not in {states.FAILED, states.CANCELLED}:
        raise Conflict(f"Only a round that failed or was cancelled is tried again; this one is {round_.state}.")
    return request_round(round_.dataset, round_.path, mode=round_.mode, actor=actor)


def _active_round(dataset: Dataset, path: str) -> Round | None:
    found: Round | None = Round.objects.active().filter(dataset=dataset, path=path, node=settings.NODE_NAME).first()
    return found


def _checked_path(dataset: Dataset, path: str) -> str:
    """The path as it is stored. A source that is away for a while is no reason to refuse: the round will retry."""
    try:
        path = clean_path(path)
        if len(path) > 1024:
            raise SourceError("A path can have at most 1024 characters.")
        reading.source_of(dataset).entry(path)
    except SourceError as error:
        refusals.count(error, f"dataset {dataset.name}")
        if error.permanent:
            raise InvalidFields({"path": str(error)}) from error
    return path


def _name_errors(name: str) -> dict[str, str]:
    try:
        NAME(name)
    except ValidationError as error:
        return {"name": " ".join(error.messages)}
    if name in RESERVED:
        return {"name": f"{name} is an address of the console itself. Choose another name."}
    if Dataset.objects.filter(name=name).exists():
        return {"name": _taken(name)}
    return {}


def _taken(name: str) -> str:
    return f"There is a dataset named {name} already. Choose another name."


def _description_errors(description: str) -> dict[str, str]:
    return {"description": "At most 200 characters."} if len(description) > 200 else {}


def _source_errors(draft: drafts.Draft, actor: Principal) -> dict[str, str]:
    try:
        _reached(draft, actor)
    except InvalidFields as error:
        return {field: " ".join(messages) for field, messages in error.errors.items()}
    return {}


def _reached(draft: drafts.Draft, actor: Principal) -> str:
    """Asks the source itself only when everything looks right."""
    if errors := drafts.mistakes(draft):
        raise InvalidFields(errors)
    try:
        return drafts.ask(draft, actor)
    except SourceError as error:
        refusals.count(error, f"a dataset of kind {draft.kind}")
        raise InvalidFields(drafts.refusal(draft, error)) from error
