"""Moves a service one step towards its desired state. A second run changes nothing.

One function per state. Each looks at the facts, moves the state or the replicas by at most one step, and says in
`service.message` what it waits for. An error is written on the service, and the sweep tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from console.errors import ConsoleError
from services import dispatch, states, wiring
from services.control import leases, model_files, publishing, rollout
from services.control.queues import claims, lines
from services.control.replicas import life as replicas
from services.control.revisions import note_served
from services.control.transitions import move, say
from services.errors import ModelError
from services.models import Replica, Revision, Service
from services.models.services import DELETED, RUNNING, STOPPED

logger = logging.getLogger(__name__)
DOWN = frozenset({Replica.UNREADY, Replica.BACKOFF, Replica.FAILED})


def reconcile(service_pk: int) -> bool:
    """Take one step for one service. False when nothing changed, or another worker holds its lease."""
    with leases.lease_of(service_pk) as lease:
        if lease is None:
            return False
        service = Service.objects.select_related("team", "target", "serving").get(pk=service_pk)
        before = (service.state, service.target_id, service.serving_id)
        try:
            _take_step(service)
        except leases.LostLease as error:
            logger.warning("%s: %s", service.name, error)
            return False
    after = Service.objects.filter(pk=service_pk).values_list("state", "target_id", "serving_id").first()
    return after is not None and after != before


def _take_step(service: Service) -> None:
    try:
        STEPS[service.state](service)
    except ConsoleError as error:
        say(service, str(error))


def preheat(service: Service) -> None:
    # PREHEATING -> QUEUED when the files are on disk, verified and servable
    readiness = model_files.ready(service.target_revision)  # takes its time, and an edit may come meanwhile
    if readiness.ready:
        _queue(service, "Model files are on disk and verified; waiting for quota.")
    elif readiness.failed:
        fail(service, readiness.message)
    else:
        say(service, readiness.message)


def _queue(service: Service, message: str) -> None:
    """Put it at the end of its queue's line: without the credit for having waited before (`passed`, `held_at`)."""
    move(
        service,
        states.QUEUED,
        message,
        about=service.target_revision,
        queued_at=timezone.now(),
        passed=0,
        held_at=None,
        serving=None,
        serving_replicas=None,
    )


def admit(service: Service) -> None:
    # QUEUED -> STARTING when the queue grants the share; the replica rows are the claim
    revision = service.target_revision
    if _end_strays(service):
        return
    trust = model_files.trust_in(revision)
    # It may have waited for days. Reads files, so before anything is locked.
    if withdrawn := model_files.withdrawn(revision):
        fail(service, withdrawn)
        return
    with transaction.atomic():
        decision = claims.claim(service, revision, range(service.replicas))
        if decision.granted and model_files.trust_in(revision) != trust:
            decision = claims.CHANGED
            transaction.set_rollback(True)
        elif decision.granted:
            granted = move(service, states.STARTING, decision.reason, about=revision, queued_at=None)
            transaction.set_rollback(not granted)
    if not decision.granted:
        say(service, decision.reason)


def start(service: Service) -> None:
    # STARTING -> READY when every replica answers, -> FAILED when one gave up. Once the revision has served, none does:
    # see retries. Then STARTING -> DEGRADED when some answer and the others are tried again.
    # STARTING -> QUEUED when it has lost its replicas.
    revision = service.target_revision
    if _end_strays(service):
        return
    if not service.replica_set.exists():
        _queue(service, "Its replicas are gone; waiting for quota.")
        return
    rows = list(service.replica_set.filter(revision=revision).select_related("revision", "service"))
    try:
        for replica in rows:
            replicas.refresh(replica)
    except ModelError as error:  # the files went away, or cannot be served after all: waiting does not help
        fail(service, str(error))
        return
    failed = next((replica for replica in rows if replica.state == Replica.FAILED), None)
    ready = [replica for replica in rows if replica.state == Replica.READY]
    others = [replica for replica in rows if replica.state != Replica.READY]
    why = next((replica.message for replica in others if replica.message), "")
    message = f"{len(ready)} of {len(rows)} replicas answer. {why}".strip()
    if failed is not None:
        fail(service, f"Replica {failed.index} could not start: {failed.message}", detail=replicas.tail(failed))
    elif late := next((replica for replica in rows if replicas.overdue(replica)), None):
        fail(service, replicas.overdue(late), detail=replicas.tail(late))
    elif rows and not others:
        _open_gateway(service, revision, ready, lacking="")
    elif ready and revision.served_at is not None and all(replica.state in DOWN for replica in others):
        _open_gateway(service, revision, ready, lacking=message)
    else:
        say(service, message)


def _open_gateway(service: Service, revision: Revision, rows: list[Replica], *, lacking: str) -> None:
    """Send requests to these replicas. `lacking`: message about the others; "" when all answer."""
    starting = Service.objects.filter(pk=service.pk, state=states.STARTING, target=revision)
    with transaction.atomic():
        if not starting.update(serving=revision, serving_replicas=None):
            return  # a verb was quicker
        note_served(revision)
    service.serving = revision
    if missing := publishing.open_up(service, rows):
        say(service, missing)
        return
    move(service, states.DEGRADED if lacking else states.READY, lacking)


def maintain(service: Service) -> None:
    # READY <-> DEGRADED by how many replicas answer. One that has served is never given up: see retries.
    model_files.describe_again(service.serving)
    rows = list(service.replica_set.filter(revision=service.serving).select_related("revision", "service"))
    active = [replica for replica in rows if replica.state not in Replica.LEAVING]
    if not active and not rollout.is_off(service):
        rollout.step(service, service.message)  # a verb has just changed what serves
        return
    for replica in active:
        replicas.refresh(replica)
    ready = sum(replica.state == Replica.READY for replica in active)
    # One that is starting for the first time (the service was scaled) takes nothing away from those that answer.
    down = next((replica for replica in active if replica.state in DOWN), None)
    if down is not None or not ready:
        why = f" Replica {down.index}: {down.message}" if down else ""
        state, message = states.DEGRADED, f"{ready} of {service.replicas} replicas answer.{why}"
    else:
        state, message = states.READY, rollout.note(service, ready, len(active))
    if service.state == state or not move(service, state, message):
        rollout.step(service, message)  # also of a DEGRADED one: the edit may be what mends it


def end(service: Service) -> None:
    # STOPPING -> STOPPED when every process is gone; of a deleted one the row goes too
    rows = list(service.replica_set.select_related("revision", "service"))
    for replica in rows:
        replicas.drain(replica)
    replicas.end_drained(rows)
    if service.replica_set.exists():
        return
    if not _forget(service) and move(service, states.STOPPED, "Stopped.", serving=None, serving_replicas=None):
        rest(service)


def rest(service: Service) -> None:
    # STOPPED, FAILED: nothing runs; what a failure left is ended, and its share of the quota given back
    replicas.end(list(service.replica_set.select_related("revision", "service")))
    if _forget(service):
        return
    # As it is now: ending processes takes long, and what people ask for meanwhile comes after what was read.
    service.desired = Service.objects.filter(pk=service.pk).values_list("desired", flat=True).first() or DELETED
    if service.state == states.STOPPED and service.desired == RUNNING:
        move(service, states.PREHEATING, "Started; model files are being looked at.")


def _forget(service: Service) -> bool:
    """Remove the row of a deleted service that runs nothing. False when it is not deleted."""
    leases.check()
    if not Service.objects.filter(pk=service.pk, desired=DELETED).exists():
        return False
    replicas.erase_logs(service)
    Service.objects.filter(pk=service.pk).delete()
    dispatch.publish()
    return True


def fail(service: Service, message: str, *, detail: str = "") -> None:
    """Fail the service, unless an edit has replaced the failed revision meanwhile."""
    move(service, states.FAILED, message, detail=detail, about=service.target, serving=None, serving_replicas=None)


def _end_strays(service: Service) -> bool:
    """End replicas of other revisions than the target. Reads the target now: an edit may hand replicas over."""
    rows = service.replica_set.exclude(revision=F("service__target"))
    strays = list(rows.select_related("revision", "service"))
    replicas.end(strays)
    return bool(strays)


STEPS: dict[str, Callable[[Service], None]] = {
    states.PREHEATING: preheat,
    states.QUEUED: admit,
    states.STARTING: start,
    states.READY: maintain,
    states.DEGRADED: maintain,
    states.STOPPING: end,
    states.STOPPED: rest,
    states.FAILED: rest,
}


def may_take_long(services: QuerySet[Service]) -> QuerySet[Service]:
    """Services whose next step ends a process. A process that ignores SIGTERM takes a minute."""
    left = Q(service__state__in=states.SETTLED | {states.STOPPING, states.QUEUED})
    leaving = Q(state=Replica.DRAINING) | Q(state=Replica.STANDBY, drain_until__isnull=False)
    overtaken = ~Q(revision=F("service__serving")) & ~Q(revision=F("service__target"))
    ending = Replica.objects.filter(left | leaving | overtaken)
    return services.filter(pk__in=ending.order_by().values("service"))


def sweep(limit: int = 200, *, hand_over: Callable[[int], None] | None = None) -> int:
    """Reconcile every service that may need it. Returns their number.

    `hand_over` gets those that may take long, so that they keep no other service waiting; without it they are next.
    """
    granted = lines.announce()
    # Every service that is not in its desired state is due, whether or not its message arrived. `announce` above has
    # told queued services their positions.
    stopped, queued = Q(state=states.STOPPED, desired=STOPPED), Q(state=states.QUEUED)
    failed = Q(state=states.FAILED) & ~Q(desired=DELETED)
    resting = Service.objects.filter(stopped | failed | queued, replica_set__isnull=True)
    # Random order, so that services beyond `limit` are not starved.
    due = Service.objects.unleased().exclude(pk__in=resting.values("pk")).order_by("?")
    count, pks = 0, [*granted, *due.values_list("pk", flat=True)[:limit]]
    slow = set(may_take_long(Service.objects.filter(pk__in=pks)).values_list("pk", flat=True)) if hand_over else set()
    for pk in pks:
        try:
            if hand_over is not None and pk in slow:
                hand_over(pk)
            else:
                reconcile(pk)
        except Exception:  # one service that cannot be reconciled must not keep the others waiting
            logger.exception("service %s could not be reconciled", pk)
        count += 1
    return count


def unknown() -> list[str]:
    """Processes without a replica row, as a crash between two steps may leave them."""
    running = wiring.engine().names()  # before the rows: a process is only ever started after its row was committed
    recorded_names = {replica.process_name for replica in Replica.objects.select_related("service", "revision")}
    return [name for name in running if name not in recorded_names]


def end_unknown() -> list[str]:
    """End all of them at once. One that ignores SIGTERM takes a minute, so the sweep leaves this to another thread."""
    strays = unknown()
    for name in strays:
        logger.warning("ending %s: no service knows it", name)
    replicas.end_processes(strays)
    return strays
