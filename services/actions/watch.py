"""Finds replicas that hang while they claim to be healthy, takes them out of the gateway and starts them again.

A replica is suspected when requests were sent to it and neither the gateway saw it answer one nor its own counters
moved, nor anything left its gRPC port that could be a message of a stream. After `stall_seconds` of that it is asked
for one tiny inference, and is hung when it does not answer that either. So a model whose single request takes longer,
and which works on one at a time, needs a longer `stall_seconds` of its own. What was seen is kept in the memory of
this process: a worker that starts anew begins to look anew, and finds the same a little later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from django.conf import settings
from django.db import transaction

from console.errors import ConsoleError
from services import dispatch, states
from services.actions import publishing, replicas, wiring
from services.actions.snapshot import HOST
from services.actions.transitions import log
from services.clients import connections
from services.errors import GatewayError
from services.gateway import status
from services.models import Replica
from services.specs import Ports

logger = logging.getLogger(__name__)
STALL_SECONDS = 15
"""Where a service says nothing else."""
ANSWER_SECONDS = 5.0
PROGRESS_SECONDS = 2.0
FRAME_BYTES = 100
"""More than acknowledgements and window updates for one request; less than a message of a stream."""


@dataclass(frozen=True)
class Load:
    """What the gateway has had to do with one replica, over all its ports."""

    requests: int = 0
    answered: int = 0
    active: int = 0


@dataclass(frozen=True)
class Seen:
    """When it was last known to get on, and with what numbers. Times of time.monotonic()."""

    since: float
    pid: int
    load: Load
    progress: float | None = None
    sent: int = 0
    """Bytes that left its gRPC port."""


_seen: dict[int, Seen] = {}
"""By primary key of the replica."""


def watch(now: float | None = None) -> list[Replica]:
    """Those that were found hung, and are being started again. Two at once in one process must not run."""
    _start_again(_still_there())
    moment = time.monotonic() if now is None else now
    rows = Replica.objects.filter(state=Replica.READY, service__state__in=states.ROUTABLE)
    ready = {row.pk: row for row in rows.select_related("service", "revision")}
    for gone in _seen.keys() - ready.keys():
        del _seen[gone]
    try:
        loads = _loads(ready.values())
    except GatewayError:
        _seen.clear()  # a gateway that starts anew counts anew
        return []
    suspects = [row for row in ready.values() if _is_stalled(row, loads[row.pk], moment)]
    if not suspects:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(suspects))) as pool:
        answers = list(pool.map(_answers, suspects))
    hung = []
    for replica, answered in zip(suspects, answers, strict=True):
        _seen.pop(replica.pk)
        if not answered and _take_out(replica):
            hung.append(replica)
    _start_again(hung)
    return hung


def _loads(rows: Iterable[Replica]) -> dict[int, Load]:
    by_port: dict[str, Load] = {}
    for each in status.replicas(settings.HOME.gateway):
        by_port[each.address] = Load(each.requests, each.answered, each.active)
    return {
        row.pk: _sum(by_port.get(f"{HOST}:{port}", Load()) for port in (row.http_port, row.grpc_port)) for row in rows
    }


def _sum(loads: Iterable[Load]) -> Load:
    found = list(loads)
    return Load(sum(x.requests for x in found), sum(x.answered for x in found), sum(x.active for x in found))


def _is_stalled(replica: Replica, load: Load, now: float) -> bool:
    """Also brings what is known of it up to date."""
    before = _seen.get(replica.pk)
    idle = before is not None and load.active == 0 and load.requests == before.load.requests
    if before is None or idle or before.pid != replica.pid or load.answered != before.load.answered:
        _seen[replica.pk] = Seen(now, replica.pid, load)
        return False
    progress, sent = _progress(replica), _sent(replica)
    if before.progress is None:
        before = replace(before, progress=progress, sent=before.sent or sent)
    # What HTTP/2 itself says to each new request is no answer.
    told = sent - before.sent > FRAME_BYTES * (1 + load.requests - before.load.requests)
    if told or (progress is not None and progress != before.progress):
        before = Seen(now, replica.pid, load, progress, sent)
    _seen[replica.pk] = before
    return now - before.since >= (replica.revision.parsed().limits.stall_seconds or STALL_SECONDS)


def _progress(replica: Replica) -> float | None:
    """Its own count of work done; None when it does not tell, which proves nothing."""
    framework = wiring.framework(replica.revision.spec["framework"])
    try:
        return framework.progress(HOST, _ports(replica), PROGRESS_SECONDS)
    except ConsoleError:
        return None


def _sent(replica: Replica) -> int:
    found = connections.held((replica.grpc_port,))
    return found.sent if found else 0


def _answers(replica: Replica) -> bool:
    framework = wiring.framework(replica.revision.spec["framework"])
    return framework.answers(HOST, _ports(replica), replica.service.name, ANSWER_SECONDS)


def _ports(replica: Replica) -> Ports:
    return Ports(replica.http_port, replica.grpc_port, replica.metrics_port)


def _take_out(replica: Replica) -> bool:
    """READY -> UNREADY, and out of the gateway as one that never answered. False when somebody else moved it."""
    sentence = "It had requests and answered none, so it is started again."
    with transaction.atomic():
        found = Replica.objects.filter(pk=replica.pk, state=Replica.READY, pid=replica.pid)
        if not found.update(
            state=Replica.UNREADY, message=sentence, started_at=None, pid=0, well_pid=0, hung_pid=replica.pid,
            restarts=replica.restarts + 1,
        ):  # fmt: skip
            return False
        log(
            replica.service,
            "replica",
            f"Replica {replica.index} hung: it had requests, answered none, and said that it was healthy."
            " It is started again.",
            detail=replicas.tail(replica),
        )
        dispatch.reconcile(replica.service_id)
    return True


def _still_there() -> list[Replica]:
    """Those found hung before whose process is the same still: it could not be started again."""
    rows = Replica.objects.filter(state=Replica.UNREADY, hung_pid__gt=0).select_related("service", "revision")
    return [row for row in rows if wiring.engine().observe(row.process_name).pid == row.hung_pid]


def _start_again(hung: list[Replica]) -> None:
    if not hung:
        return
    publishing.publish_now()  # first: nobody is sent there while it ends
    for replica in hung:
        try:
            wiring.engine().restart(replica.process_name)
        except ConsoleError:
            logger.exception("%s could not be started again; the next look tries", replica.process_name)
