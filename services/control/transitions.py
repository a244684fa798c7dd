"""The only place where a service's state changes: a conditional UPDATE, with its event in the same transaction."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from console.accounts.principal import SYSTEM, Principal
from services import dispatch, states
from services.control import leases
from services.models import Event, Revision, Service


def move(
    service: Service,
    to: str,
    message: str,
    *,
    actor: Principal = SYSTEM,
    detail: str = "",
    about: Revision | None = None,
    **fields: Any,
) -> bool:
    """service.state -> `to`. False when somebody else moved it first; then nothing was changed.

    `about`: the revision that this was decided for; False, too, when another one is the target by now.
    `fields` are other columns to set with it. Raises ValueError for an arrow that states.TRANSITIONS does not have.
    """
    leases.check()
    old = service.state
    if to not in states.TRANSITIONS[old]:
        raise ValueError(f"There is no way from {old} to {to}.")
    changes = {"state": to, "message": message, "state_since": timezone.now(), **fields}
    rows = Service.objects.filter(pk=service.pk, state=old)
    with transaction.atomic():
        if not (rows if about is None else rows.filter(target=about)).update(**changes):
            return False
        log(service, "state", message, actor=actor, old=old, new=to, detail=detail)
        dispatch.reconcile(service.pk)
        dispatch.publish()
    for name, value in changes.items():
        setattr(service, name, value)
    return True


def say(service: Service, message: str) -> None:
    """Update what it waits for, without an event."""
    leases.check()
    if service.message != message:
        Service.objects.filter(pk=service.pk, state=service.state).update(message=message)
        service.message = message


def log(
    service: Service,
    kind: str,
    message: str,
    *,
    actor: Principal = SYSTEM,
    old: str = "",
    new: str = "",
    detail: str = "",
) -> Event:
    return Event.objects.create(
        service=service, kind=kind, message=message, actor=actor.label, old=old, new=new, detail=detail
    )
