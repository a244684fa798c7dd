"""The line of a queue: who waits for what, where everybody stands, and who holds it. A constant number of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from services import states
from services.actions.checks import quota_of
from services.models import Node, Queue, Replica, Service
from services.policies import admission, amounts, holding
from services.policies.admission import Claim, Room, Standing
from services.policies.amounts import Amount
from services.policies.holding import Hold
from services.policies.placement import Candidate
from services.querysets import ReplicaQuerySet
from services.specs import Affinity, Resources, ServiceSpec


@dataclass(frozen=True)
class Line:
    """`standings`: primary key of a service -> where it stands. `holder`: what is kept for whom, if for anybody."""

    queue: Queue
    room: Room
    standings: Mapping[int, Standing]
    holder: Claim | None


def read(
    queue: Queue, *, newcomer: Claim | None = None, without: Service | None = None, lock: bool = False
) -> Line:
    """`lock`: the caller has locked the queue's row; the nodes' are locked too, and a hold may begin or end.

    `newcomer`: one more claim, which nobody has made yet. `without`: a service whose replicas are to count as gone.
    """
    now = timezone.now()
    claims, held_at = _waiting(queue)
    if newcomer is not None:
        claims.append(newcomer)
    replicas = Replica.objects.all() if without is None else Replica.objects.exclude(service=without)
    used_by = claimed_by("service__team_id", replicas.in_queue(queue.name))
    room = Room(quota_of(queue), amounts.sum_up(used_by.values()), candidates(replicas, lock=lock))

    def stand(hold: Hold | None) -> dict[int, Standing]:
        active = hold if hold is not None and now < hold.until else None
        return admission.stand(
            claims,
            room,
            queue.name,
            order=queue.order,
            used_by=used_by,
            held_for=active.key if active else None,
            held_until=active.until if active else None,
        )

    hold = _hold_of(queue)
    if lock and queue.order == admission.FAIR:
        hold = _hold(queue, [one.claim for one in stand(None).values() if one.waits], held_at, now)
    standings = stand(hold)
    holder = standings.get(hold.key) if hold is not None and now < hold.until else None
    return Line(queue, room, standings, holder.claim if holder is not None and holder.waits else None)


def claim_of(service: Service, spec: ServiceSpec, replicas: int) -> Claim:
    since = service.queued_at or service.state_since
    return Claim(service.pk, service.team_id, spec.resources, replicas, since, spec.affinity, service.passed)


def candidates(replicas: ReplicaQuerySet | None = None, *, lock: bool = False) -> tuple[Candidate, ...]:
    """The nodes, with what these replicas (all, if not given) hold of each. Cordoned and absent ones say that they are.

    Replicas of an absent node count for this machine, which had another name when they were started.
    """
    rows = Node.objects.order_by("name")
    nodes = list(rows.select_for_update() if lock else rows)
    absent = {node.name for node in nodes if node.absence}
    held = Replica.objects.all() if replicas is None else replicas
    used = claimed_by("node", held, place=lambda name: settings.NODE_NAME if name in absent else name)
    return tuple(Candidate(node.info(), used.get(node.name, Amount())) for node in nodes)


def claimed_by(
    field: str, replicas: QuerySet[Any], place: Callable[[Any], Any] = lambda value: value
) -> dict[Any, Amount]:
    """What these replicas claim, by what `place` makes of a field of theirs."""
    parts: dict[Any, list[tuple[int, bool, Resources]]] = {}
    for key, service, state, spec in replicas.order_by().values_list(field, "service_id", "state", "revision__spec"):
        claimed = service, state == Replica.STANDBY, Resources(**spec["resources"])
        parts.setdefault(place(key), []).append(claimed)
    return {key: amounts.claimed(claims) for key, claims in parts.items()}


def end_hold(queue: Queue, key: int) -> None:
    """Service `key` was granted its share: if it held the queue, another one may soon."""
    if (hold := _hold_of(queue)) is not None and hold.key == key:
        after = holding.fulfilled(hold, now=timezone.now(), patience=timedelta(minutes=queue.patience_minutes))
        Queue.objects.filter(pk=queue.pk).update(held_until=after.until)


def look() -> list[int]:
    """Say to everybody who waits where they stand. Primary keys of the services that can be granted their share now."""
    names = set(Service.objects.filter(state=states.QUEUED).order_by().values_list("target__spec__queue", flat=True))
    ready: list[int] = []
    for name in sorted(filter(None, names)):
        with transaction.atomic():
            queue = Queue.objects.select_for_update().filter(name=name).first()
            if queue is None:
                ready += Service.objects.waiting_in(name).values_list("pk", flat=True)  # each says so itself
                continue
            standings = read(queue, lock=True).standings
            _say(queue, standings)
        ready += [key for key, standing in standings.items() if standing.decision.granted]
    return ready


def _say(queue: Queue, standings: Mapping[int, Standing]) -> None:
    waiting = {key: s.decision.reason for key, s in standings.items() if not s.decision.granted}
    rows = [
        Service(pk=pk, message=waiting[pk])
        for pk, message in Service.objects.waiting_in(queue.name).values_list("pk", "message")
        if pk in waiting and message != waiting[pk]
    ]
    # Only of those that still wait; a few at a time, as SQLite allows only so deep an expression.
    Service.objects.filter(state=states.QUEUED).bulk_update(rows, ["message"], batch_size=200)


def _waiting(queue: Queue) -> tuple[list[Claim], dict[int, datetime]]:
    fields = ("pk", "team_id", "target__spec", "replicas", "queued_at", "state_since", "passed", "held_at")
    claims, held_at = [], {}
    for pk, team, spec, replicas, queued_at, since, passed, held in Service.objects.waiting_in(queue.name).values_list(
        *fields
    ):
        claims.append(
            Claim(pk, team, Resources(**spec["resources"]), replicas, queued_at or since, _affinity(spec), passed)
        )
        if held is not None:
            held_at[pk] = held
    return claims, held_at


def _affinity(spec: Mapping[str, Any]) -> Affinity:
    rules = spec.get("affinity") or {}
    return ServiceSpec.from_json(spec).affinity if rules.get("required") or rules.get("preferred") else Affinity()


def _hold_of(queue: Queue) -> Hold | None:
    if queue.held_for is None or queue.held_until is None:
        return None
    return Hold(queue.held_for, queue.held_until)


def _hold(queue: Queue, waiting: list[Claim], held_at: Mapping[int, datetime], now: datetime) -> Hold | None:
    before = _hold_of(queue)
    hold = holding.next_hold(
        before,
        waiting,
        held_at,
        now=now,
        patience=timedelta(minutes=queue.patience_minutes),
        length=timedelta(minutes=queue.hold_minutes),
    )
    if hold is not None and hold != before:
        queue.held_for, queue.held_until = hold.key, hold.until
        queue.save(update_fields=["held_for", "held_until"])
        if hold.until > now:
            Service.objects.filter(pk=hold.key).update(held_at=now)
    return hold
