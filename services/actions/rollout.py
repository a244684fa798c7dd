"""A running service whose target or size changed: new replicas first, then the switch, then the old ones go.

Everything is decided from the facts (which rows there are, which answer), so it can be cut off anywhere and go on.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from services import dispatch, states
from services.actions import claims, files, replicas
from services.actions.transitions import log, move, say
from services.models import Replica, Revision, Service


def step(service: Service) -> None:
    """One step of whatever is to be done."""
    assert service.serving is not None and service.target is not None
    if _end_drained(service):
        return
    if service.target_id != service.serving_id:
        _roll(service, service.target)
    else:
        _scale(service, service.serving)


def _end_drained(service: Service) -> bool:
    draining = service.replica_set.filter(state=Replica.DRAINING).select_related("revision", "service")
    return replicas.end_drained(draining) > 0


def _scale(service: Service, revision: Revision) -> None:
    rows = list(service.replica_set.filter(revision=revision).exclude(state=Replica.DRAINING))
    taken = {replica.index for replica in service.replica_set.filter(revision=revision)}
    if len(rows) > service.replicas:
        for replica in sorted(rows, key=lambda row: row.index)[service.replicas :]:
            replicas.drain(replica)
        dispatch.publish()
    elif len(rows) < service.replicas:
        free = [index for index in range(2 * service.replicas + len(taken)) if index not in taken]
        decision = claims.claim(service, revision, free[: service.replicas - len(rows)])
        if not decision.granted:
            say(service, f"{len(rows)} of {service.replicas} replicas run. {decision.reason}")


def _roll(service: Service, target: Revision) -> None:
    found = files.ready(target)
    if not found.ready:
        if found.failed:
            _give_up(service, target, found.message)
        else:
            say(service, f"Revision {target.number} is being rolled out. {found.message}")
        return
    rows = list(service.replica_set.filter(revision=target).select_related("revision", "service"))
    if not rows:
        _claim(service, target)
        return
    for replica in rows:
        replicas.look(replica)
    failed = next((replica for replica in rows if replica.state == Replica.FAILED), None)
    if failed is not None:
        detail = replicas.tail(failed)
        _give_up(service, target, f"Replica {failed.index} could not start: {failed.message}", detail)
    elif late := next((replica for replica in rows if replicas.overdue(replica)), None):
        _give_up(service, target, replicas.overdue(late), replicas.tail(late))
    elif all(replica.state == Replica.READY for replica in rows):
        _switch(service, target)
    else:
        say(service, f"Revision {target.number} is being rolled out: its replicas are starting.")


def _claim(service: Service, target: Revision) -> None:
    """Room for the new ones beside the old ones; where both could never be held at once, the old ones go first."""
    spec = target.parsed()
    decision = claims.claim(service, target, range(service.replicas))
    if decision.granted:
        return
    if claims.could_hold_both(service, spec):
        say(service, f"Revision {target.number} waits. {decision.reason}")
        return
    message = f"There is no room for two revisions at once: the old one ends before revision {target.number} starts."
    move(service, states.QUEUED, message, serving=None, queued_at=timezone.now())


def _switch(service: Service, target: Revision) -> None:
    with transaction.atomic():
        old = service.serving
        if not Service.objects.filter(pk=service.pk, serving=old).update(serving=target, message=""):
            return
        service.serving, service.message = target, ""
        for replica in service.replica_set.exclude(revision=target):
            replicas.drain(replica)
        log(service, "rollout", f"Revision {target.number} serves now.")
        dispatch.publish()


def note(service: Service, ready: int) -> str:
    """What to say of a READY service: that it is being scaled, that its newest revision failed; mostly nothing."""
    if ready < service.replicas:
        return f"{ready} of {service.replicas} replicas answer; the others are starting."
    newest = service.revisions.order_by("-number").first()
    if newest is None or not newest.failed or service.serving is None or newest.pk == service.serving_id:
        return ""
    return f"Revision {newest.number} failed, revision {service.serving.number} goes on serving: {newest.failed}"


def _give_up(service: Service, target: Revision, reason: str, detail: str = "") -> None:
    """The new revision cannot be had: its replicas go, and the old one stays the target."""
    serving = service.serving
    assert serving is not None
    replicas.end(list(service.replica_set.filter(revision=target).select_related("revision", "service")))
    with transaction.atomic():
        Revision.objects.filter(pk=target.pk).update(failed=reason)
        if Service.objects.filter(pk=service.pk, target=target).update(target=serving):
            log(service, "rollout", f"Revision {target.number} failed: {reason}", detail=detail)
