"""Finds replicas that hang, takes them out of the gateway and starts them again. docs/services.md has the table.

Two kinds are suspected: a READY one that has requests and finishes none, and one that does not answer although its
process is there. Each is left alone while its processes compute or read; then it is sent one tiny inference, and hangs
when it does not answer that either. What was seen is kept in the memory of this process: a worker that starts anew
begins to look anew, and finds the same a little later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from console.errors import ConsoleError
from services import dispatch, states, wiring
from services.control import publishing
from services.control.replicas import life as replicas
from services.control.replicas import stalls
from services.control.replicas.life import listeners_of
from services.control.replicas.stalls import Load, Observation
from services.control.transitions import log
from services.errors import EngineError, GatewayError
from services.gateway import status
from services.models import Replica, Service

logger = logging.getLogger(__name__)
ANSWER_SECONDS = 5.0
PROGRESS_SECONDS = 2.0

_seen: dict[int, Observation] = {}
"""By primary key of the replica."""


@dataclass(frozen=True)
class Suspect:
    replica: Replica
    seen: Observation
    overdue: bool
    """Longer than it may compute."""
    healthy: bool = False
    answers: bool = False


def end_hung(now: float | None = None) -> list[Replica]:
    """Those that were found hung, and are being started again. Two at once in one process must not run."""
    _start_again(_still_there())
    moment = time.monotonic() if now is None else now
    rows = _rows()
    for gone in _seen.keys() - {row.pk for row in rows}:
        del _seen[gone]
    loads = _loads(rows)
    of_services: dict[int, Load] = {}
    for row in rows:
        of_services[row.service_id] = of_services.get(row.service_id, Load()) + loads.get(row.pk, Load())

    def others(row: Replica) -> Load:
        return of_services[row.service_id] - loads.get(row.pk, Load())

    due = [suspect for row in rows if (suspect := _suspect(row, loads.get(row.pk), others(row), moment))]
    if not due:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(due))) as pool:
        suspects = list(pool.map(_ask, due))
    hung = [suspect for suspect in suspects if _is_hung(suspect, moment)]
    taken = [suspect.replica for suspect in _one_at_a_time(hung, rows) if _take_out(suspect, moment)]
    _start_again(taken)
    return taken


def _rows() -> list[Replica]:
    """The first start of a revision that never served has its own bound: see replicas.overdue."""
    again = Q(state=Replica.STARTING, revision__served_at__isnull=False)
    rows = Replica.objects.filter(again | Q(state__in=(Replica.READY, Replica.UNREADY)), pid__gt=0)
    rows = rows.exclude(pid=F("hung_pid"))  # about to be started again
    return list(rows.filter(service__state__in=states.OPEN).select_related("revision", "service"))


def _loads(rows: Iterable[Replica]) -> Mapping[int, Load]:
    """Load of the READY replicas; empty while the gateway does not tell. A restarted gateway counts anew."""
    by_address: dict[str, Load] = {}
    try:
        for each in status.replicas(settings.HOME.gateway):
            by_address[each.address] = Load(each.requests, each.answered, each.active)
    except GatewayError:
        return {}

    def load(row: Replica) -> Load:
        listeners = listeners_of(row)
        return stalls.total(by_address.get(str(each), Load()) for each in (listeners.http, listeners.grpc))

    return {row.pk: load(row) for row in rows if row.state == Replica.READY}


def _suspect(replica: Replica, load: Load | None, others: Load, now: float) -> Suspect | None:
    """One that it is time to ask. Also brings what is known of it up to date. `others`: load of its service's."""
    before = _seen.get(replica.pk)
    if replica.state == Replica.READY and load is None:
        _seen.pop(replica.pk, None)
        return None
    load = load or Load()
    if before is None or not before.is_of(replica) or _makes_progress(replica, before, load):
        _seen[replica.pk] = stalls.begin(replica, now, load)
        return None
    if replica.state == Replica.READY:
        before = stalls.with_load(before, load, others, _progress(replica), _sent(replica), now)
    _seen[replica.pk] = seen = stalls.with_usage(before, now)
    allowed = stalls.bounds(replica)
    return Suspect(replica, seen, seen.is_overdue(allowed, now)) if seen.is_due(allowed, now) else None


def _makes_progress(replica: Replica, before: Observation, load: Load) -> bool:
    if replica.state != Replica.READY:
        return False
    idle = load.active == 0 and load.requests == before.load.requests
    return idle or load.answered != before.load.answered


def _progress(replica: Replica) -> float | None:
    """Its own count of work done; None when it does not tell, which proves nothing."""
    framework = wiring.framework(replica.revision.spec["framework"])
    try:
        return framework.progress(listeners_of(replica), PROGRESS_SECONDS)
    except ConsoleError:
        return None


def _sent(replica: Replica) -> int:
    """Bytes that the gateway has had over gRPC from all replicas of its service."""
    try:
        return status.received(settings.HOME.gateway, replica.service.name)
    except GatewayError:
        return 0


def _ask(suspect: Suspect) -> Suspect:
    """In two ways: for one tiny inference, and for its health."""
    replica = suspect.replica
    framework = wiring.framework(replica.revision.spec["framework"])
    listeners, name = listeners_of(replica), replica.service.name
    if framework.answers(listeners, name, ANSWER_SECONDS):
        return replace(suspect, answers=True)
    return replace(suspect, healthy=framework.probe(listeners, name, PROGRESS_SECONDS).ready)


def _is_hung(suspect: Suspect, now: float) -> bool:
    """Also remembers what it said."""
    replica, seen = suspect.replica, suspect.seen
    if not suspect.answers:
        _seen[replica.pk] = replace(seen, silences=seen.silences + 1)
        return True
    if replica.state == Replica.READY:
        _seen.pop(replica.pk)
    elif suspect.overdue:  # it computes, and is never healthy: the gateway sends it nothing
        return True
    else:
        _seen[replica.pk] = replace(seen, idle_since=now)
    return False


def _one_at_a_time(hung: Iterable[Suspect], rows: Iterable[Replica]) -> list[Suspect]:
    """At most one READY replica of a service, and the last one only when beyond doubt: the alarm may be false."""
    suspects = list(hung)
    suspected = {suspect.replica.pk for suspect in suspects}
    serving = {row.service_id for row in rows if row.state == Replica.READY and row.pk not in suspected}
    chosen: dict[int, Suspect] = {}
    for suspect in suspects:
        replica = suspect.replica
        if replica.state != Replica.READY:
            chosen[-replica.pk] = suspect  # it serves nobody
        elif replica.service_id in serving or _is_beyond_doubt(suspect):
            chosen.setdefault(replica.service_id, suspect)
    return list(chosen.values())


def _is_beyond_doubt(suspect: Suspect) -> bool:
    return suspect.overdue or not suspect.healthy or suspect.seen.silences > 0


def _take_out(suspect: Suspect, now: float) -> bool:
    """-> UNREADY, and out of the gateway as one that never answered. False when somebody else moved it."""
    replica, seconds = suspect.replica, round(now - suspect.seen.since)
    if _pid(replica) != replica.pid:  # it ended meanwhile, or its engine is away
        return False
    started = replica.state == Replica.READY or replica.well_pid == replica.pid
    sentence, end_of_log = f"It hung ({_why(suspect, seconds)}), so it is started again.", replicas.tail(replica)
    with transaction.atomic():
        # The service before its replica, as everybody locks them: its event needs the service as well.
        list(Service.objects.select_for_update(no_key=True).filter(pk=replica.service_id).values_list("pk"))
        rows = Replica.objects.filter(pk=replica.pk, state=replica.state, pid=replica.pid)
        if not rows.update(
            state=Replica.UNREADY,
            message=sentence,
            started_at=None,
            pid=0,
            well_pid=0,
            hung_pid=replica.pid,
            restarts=F("restarts") + 1,
            attempts=F("attempts") + (0 if started else 1),
        ):
            return False
        sentence = f"Replica {replica.index} hung: {_why(suspect, seconds)}. It is started again."
        log(replica.service, "replica", sentence, detail=end_of_log)
        dispatch.reconcile(replica.service_id)
    _seen.pop(replica.pk, None)
    return True


def _why(suspect: Suspect, seconds: int) -> str:
    what = "longer than it may take" if suspect.overdue else "and its processes neither computed nor read"
    if suspect.replica.state == Replica.READY:
        return f"it had requests and finished none for {seconds} s, {what}"
    return f"its process was there and did not answer for {seconds} s, {what}"


def _still_there() -> list[Replica]:
    """Those found hung before whose process is the same still: it could not be started again."""
    rows = Replica.objects.filter(state=Replica.UNREADY, hung_pid__gt=0).select_related("revision", "service")
    return [row for row in rows if _pid(row) == row.hung_pid]


def _pid(replica: Replica) -> int:
    """0 when the engine cannot be asked: nothing is done about what is not known."""
    try:
        return wiring.engine().observe(replica.process_name).pid
    except EngineError:
        return 0


def _start_again(hung: list[Replica]) -> None:
    if not hung:
        return
    publishing.publish_now()  # first: nobody is sent there while it ends
    for replica in hung:
        try:
            wiring.engine().restart(replica.process_name, hangs=True)
        except ConsoleError:
            logger.exception("%s could not be started again; the next look tries", replica.process_name)
