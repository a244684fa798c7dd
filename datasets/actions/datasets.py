"""What people ask of datasets: create, update, check, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from console import roles
from console.accounts import bounds
from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields
from console.models import Team
from datasets.actions import drafts, refusals
from datasets.errors import SourceError
from datasets.models import NAME, Dataset
from datasets.signals import dataset_deleting

RESERVED = {"check"}
"""Names that stand for something else in the addresses of pages and of the REST API."""


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
        raise Conflict("Someone else has changed this dataset.", hint="Review it, then try again.")
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
