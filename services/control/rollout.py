"""A running service whose target or size changed: new replicas first, then the switch, then the old ones go.

Where both do not fit at once the new revision waits beside the old one, or takes its place if a person chose so:
see `_take_over`. Everything is decided from the facts (which rows there are, which answer), so it can be cut off
anywhere and go on.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import F

from console.accounts.principal import SYSTEM, Principal
from services import dispatch
from services.control import leases, model_files, publishing
from services.control.queues import claims
from services.control.replicas import life as replicas
from services.control.revisions import add_revision, carry_on, note_served
from services.control.transitions import log, say
from services.errors import ModelError
from services.models import Replica, Revision, Service
from services.policies import workload
from services.specs import RECREATE

CONSOLE: Final = Principal(label=SYSTEM.label)
"""Who makes a revision here. It may nothing: what an administrator permitted stays as it was."""


def step(service: Service, message: str) -> None:
    """One step of whatever is to be done, and one message. `message`: when there is nothing to be rolled out."""
    serving, target = service.serving, service.target
    assert serving is not None and target is not None
    if _end_drained(service) or _end_overtaken(service):
        return
    if target.pk != serving.pk and target.process_number == serving.process_number:
        _move(service, serving, target)
    elif target.pk != serving.pk:
        _roll(service, serving, target)
    elif not _come_back(service, serving):
        _scale(service, serving, message, tells_lack=True)


def _end_drained(service: Service) -> bool:
    draining = service.replica_set.filter(state=Replica.DRAINING).select_related("revision", "service")
    return replicas.end_drained(draining) > 0


def _end_overtaken(service: Service) -> bool:
    """Replicas of a revision that was replaced, or given up, before it answered. By what the database says now."""
    rows = service.replica_set.exclude(state=Replica.DRAINING)
    rows = rows.exclude(revision=F("service__serving")).exclude(revision=F("service__target"))
    overtaken = list(rows.select_related("revision", "service"))
    replicas.end(overtaken)
    return bool(overtaken)


def _come_back(service: Service, serving: Revision) -> bool:
    """The revision that was to take its place failed, or was given up."""
    leases.check()
    if not replicas.return_from_standby(service.replica_set.filter(revision=serving)):
        return False
    log(service, "rollout", f"Revision {serving.number} comes back.")
    dispatch.publish()
    dispatch.reconcile(service.pk)
    return True


def _scale(service: Service, revision: Revision, message: str, *, tells_lack: bool = False) -> None:
    """`message`: what is said; with `tells_lack` also that there is no room for the other replicas."""
    rows = [row for row in service.replica_set.filter(revision=revision) if row.state not in Replica.LEAVING]
    taken = {replica.index for replica in service.replica_set.filter(revision=revision)}
    count = service.count_of(revision)
    if rows and len(rows) != count and model_files.has_sequences(revision):
        _renew(service, revision, len(rows), message)
        return
    if len(rows) > count:
        for replica in sorted(rows, key=lambda row: row.index)[count:]:
            replicas.drain(replica)
        dispatch.publish()
    elif len(rows) < count:
        free = [index for index in range(2 * count + len(taken)) if index not in taken]
        if withdrawn := model_files.withdrawn(revision):
            message = f"{message} {withdrawn}"
        elif not (decision := claims.claim(service, revision, free[: count - len(rows)])).granted and tells_lack:
            message = f"{message} {decision.reason}"
    say(service, message.strip())


def _renew(service: Service, revision: Revision, running: int, message: str) -> None:
    """Another number of replicas, all of them new: with one more or less, sequences would move between those that stay.

    A replica that had a sequence before would go on where it was then, without an error. A new one knows none, and
    refuses a request in the middle of one.
    """
    if service.target_id != revision.pk:
        say(service, message)
        return
    leases.check()
    note = f"Scaled to {service.replicas} replicas: with sequences, all of them are started anew"
    with transaction.atomic():
        unchanged = Service.objects.filter(pk=service.pk, target=revision, serving=revision, replicas=service.replicas)
        if not unchanged.update(serving_replicas=running):
            return
        renewed = add_revision(service, revision.parsed(), actor=CONSOLE, note=note, like=revision, tree=revision.tree)
        log(service, "rollout", f"Revision {renewed.number}: {note}.")
        dispatch.reconcile(service.pk)


def _move(service: Service, serving: Revision, target: Revision) -> None:
    """The same replicas, once the other queue has room for them."""
    decision = claims.move(service, serving, target)
    if decision.granted:
        log(service, "rollout", f"Revision {target.number} serves now and keeps its replicas.")
        dispatch.publish()
        dispatch.reconcile(service.pk)
    else:
        waits = f"Revision {target.number} waits, revision {serving.number} serves on. {decision.reason}"
        _scale(service, serving, waits)


def _roll(service: Service, serving: Revision, target: Revision) -> None:
    rows = list(service.replica_set.filter(revision=target).select_related("revision", "service"))
    prepared = model_files.ready(target)
    if not prepared.ready:
        if prepared.failed:
            _give_up(service, target, prepared.message)
        elif not _come_back(service, serving):
            _scale(service, serving, f"Revision {target.number} is being rolled out. {prepared.message}")
    elif not rows:
        if not _come_back(service, serving):
            _claim(service, serving, target)
    elif replicas.make_room(service.replica_set.filter(revision=serving)):
        _refresh(service, target, rows)
    else:
        say(service, f"Revision {serving.number} finishes its requests before revision {target.number} starts.")


def _refresh(service: Service, target: Revision, rows: list[Replica]) -> None:
    try:
        for replica in rows:
            replicas.refresh(replica)
    except ModelError as error:  # the files went away, or cannot be served after all
        _give_up(service, target, str(error))
        return
    failed = next((replica for replica in rows if replica.state == Replica.FAILED), None)
    if failed is not None:
        detail = replicas.tail(failed)
        _give_up(service, target, f"Replica {failed.index} could not start: {failed.message}", detail)
    elif late := next((replica for replica in rows if replicas.overdue(replica)), None):
        _give_up(service, target, replicas.overdue(late), replicas.tail(late))
    elif all(replica.state == Replica.READY for replica in rows):
        _switch(service, target, rows)
    else:
        say(service, f"Revision {target.number} is being rolled out: its replicas are starting.")


def _claim(service: Service, serving: Revision, target: Revision) -> None:
    """Room beside the old replicas, or else their place if a person chose so; otherwise it waits and they serve on."""
    # Without a lock first: many wait for long, and each is looked at in every sweep.
    outlook = claims.outlook(service, target.parsed(), service.replicas)
    if outlook.beside.granted:
        decision = claims.claim(service, target, range(service.replicas))
        if decision.granted:
            return
        outlook = claims.Outlook(decision, decision)  # somebody else was quicker, or a GPU has failed
    if outlook.needs_choice and target.strategy == RECREATE:
        _take_over(service, serving, target)
        return
    waits = f"Revision {target.number} waits, revision {serving.number} serves on. {outlook.reason}"
    _scale(service, serving, waits)


def _take_over(service: Service, serving: Revision, target: Revision) -> None:
    """The old replicas stand by until the new ones answer, so that they can come back with the claim they had."""
    old = service.replica_set.filter(revision=serving)
    with transaction.atomic():
        if not claims.take_over(service, target, partial(replicas.stand_by, old)).granted:
            return  # somebody else was quicker
        log(service, "rollout", f"Revision {serving.number} ends, and revision {target.number} starts in its place.")
        dispatch.publish()


def _switch(service: Service, target: Revision, rows: list[Replica]) -> None:
    leases.check()
    with transaction.atomic():
        # A verb may have replaced the target since it was read: then these replicas are not what should serve.
        row = Service.objects.filter(pk=service.pk, serving=service.serving, target=target)
        if not row.update(serving=target, serving_replicas=None, message=""):
            return
        service.serving, service.serving_replicas, service.message = target, None, ""
        note_served(target)
        for replica in service.replica_set.exclude(revision=target):
            replicas.drain(replica)
        log(service, "rollout", f"Revision {target.number} serves now.")
        dispatch.publish()
    publishing.open_up(service, rows)


def is_off(service: Service) -> bool:
    """Nothing of the serving revision runs, because another takes its place."""
    rows = service.replica_set.filter(revision=service.serving)
    return rows.filter(state=Replica.STANDBY).exists() and not rows.exclude(state__in=Replica.LEAVING).exists()


def note(service: Service, ready: int, running: int) -> str:
    """What to say of a READY service: that it is being scaled, that its newest revision failed; mostly nothing."""
    if ready < service.replicas:
        others = "; the others are starting" if running >= service.replicas else ""
        return f"{ready} of {service.replicas} replicas answer{others}."
    serving = service.serving
    if serving is None:
        return ""
    newer = service.revisions.filter(number__gt=serving.process_number).exclude(failed="")
    failed = newer.order_by("-number").first()
    if failed is None:
        return ""
    return f"Revision {failed.number} failed, revision {serving.number} goes on serving: {failed.failed}"


def _give_up(service: Service, target: Revision, reason: str, detail: str = "") -> None:
    """The new revision cannot be had: its replicas go, and the old one stays the target, with the size it had."""
    leases.check()
    serving = service.serving
    assert serving is not None
    with transaction.atomic():
        Revision.objects.filter(pk=target.pk).update(failed=reason)
        if not stay(service, target):
            return
        log(service, "rollout", f"Revision {target.number} failed: {reason}", detail=detail)
        if not workload.same_access(serving.parsed(), target.parsed()):
            # What was asked of the gateway holds already, and must not be undone by a model that does not start.
            spec = workload.with_access_of(serving.parsed(), target.parsed())
            note = f"Access and limits of revision {target.number}"
            carry_on(service, serving, spec, actor=CONSOLE, note=note)


def stay(service: Service, target: Revision) -> bool:
    """The serving revision becomes the target again, with its size; reconcile ends what there is of the other one.

    False when another one is the target by now. Call inside a transaction.
    """
    serving = service.serving
    row = Service.objects.filter(pk=service.pk, target=target, serving=serving)
    sizes = row.select_for_update().values_list("replicas", "serving_replicas").first()
    if sizes is None:
        return False
    size = sizes[1] or sizes[0]
    row.update(target=serving, replicas=size, serving_replicas=None)
    service.target, service.replicas, service.serving_replicas = serving, size, None
    if size != sizes[0]:  # somebody asked for another size, with the revision or since: it must not vanish unseen
        back = f"Scaled back from {sizes[0]} to {size} replicas: revision {target.number} does not replace this one."
        log(service, "scaled", back)
    dispatch.reconcile(service.pk)
    return True
