"""The line of a queue: who waits for what, where everybody stands, and who holds it. A constant number of queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from services import states
from services.models import Node, Queue, Replica, Service
from services.policies import admission, amounts, devices, holding
from services.policies.admission import Claim, Room, Standing
from services.policies.amounts import Amount, ReplicaClaim
from services.policies.devices import Holder
from services.policies.holding import Hold
from services.policies.placement import Candidate
from services.specs import Affinity, NodeInfo, Resources, ServiceSpec


@dataclass(frozen=True)
class Line:
    """Who waits is read, and where they stand is worked out, when it is asked for: what runs already waits for nobody.

    `used_by`: primary key of a team -> what it holds of the queue. `hold`: the one that is in force.
    """

    queue: Queue
    room: Room
    used_by: Mapping[int, Amount]
    newcomer: Claim | None = None
    hold: Hold | None = None

    @cached_property
    def standings(self) -> Mapping[int, Standing]:
        """Primary key of a service -> where it stands."""
        return admission.rank(
            self.claims,
            self.room,
            self.queue.name,
            order=self.queue.order,
            used_by=self.used_by,
            held_for=self.hold.key if self.hold else None,
            held_until=self.hold.until if self.hold else None,
        )

    @property
    def holder(self) -> Claim | None:
        """For whom something is kept, if for anybody."""
        standing = self.standings.get(self.hold.key) if self.hold else None
        return standing.claim if standing is not None and standing.waits else None

    @cached_property
    def claims(self) -> list[Claim]:
        return [*self._waiting[0], *([self.newcomer] if self.newcomer else [])]

    @property
    def held_at(self) -> dict[int, datetime]:
        return self._waiting[1]

    @cached_property
    def _waiting(self) -> tuple[list[Claim], dict[int, datetime]]:
        return _waiting(self.queue)

    def without(self, service: Service) -> Line:
        """As if that service ran nothing."""
        replicas = Replica.objects.filter(service=service)
        used = self.room.used.minus(sum_of(replicas.in_queue(self.queue.name)))
        by_node, nothing = _by_node(replicas, [candidate.node for candidate in self.room.nodes]), Amount()
        nodes = tuple(
            Candidate(candidate.node, candidate.used.minus(by_node.get(candidate.node.name, nothing)))
            for candidate in self.room.nodes
        )
        return replace(self, room=Room(self.room.quota, used, nodes))


def load(queue: Queue, *, newcomer: Claim | None = None, lock: bool = False, may_hold: bool = False) -> Line:
    """`lock`: the caller has locked the queue's row; the nodes' are locked too. `may_hold`: a hold may begin or end.

    `newcomer`: one more claim, which nobody has made yet.
    """
    now, hold = timezone.now(), _hold_of(queue)
    used_by = claimed_by("service__team_id", Replica.objects.in_queue(queue.name))
    room = Room(queue.quota, amounts.sum_up(used_by.values()), candidates(lock=lock))
    line = Line(queue, room, used_by, newcomer)
    if may_hold and queue.order == admission.FAIR:
        hold = _hold(queue, [one.claim for one in line.standings.values() if one.waits], line.held_at, now)
    return line if hold is None or now >= hold.until else replace(line, hold=hold)


def claim_of(service: Service, spec: ServiceSpec, replicas: int) -> Claim:
    since = service.queued_at or service.state_since
    return Claim(service.pk, service.team_id, spec.resources, replicas, since, spec.affinity, service.passed)


def candidates(*, lock: bool = False) -> tuple[Candidate, ...]:
    """The nodes, with what is held of each. Cordoned and absent ones say that they are."""
    rows = Node.objects.order_by("name")
    nodes = [node.info() for node in (rows.select_for_update() if lock else rows)]
    used = _by_node(Replica.objects.all(), nodes)
    return tuple(Candidate(node, used.get(node.name, Amount())) for node in nodes)


def _by_node(replicas: QuerySet[Any], nodes: Iterable[NodeInfo]) -> dict[str, Amount]:
    """Replicas of an absent node count for this machine, which had another name when they were started."""
    return used_by_node(replicas, nodes, moved={node.name for node in nodes if node.absence})


def used_by_node(
    replicas: QuerySet[Any], nodes: Iterable[NodeInfo], moved: Set[str] = frozenset()
) -> dict[str, Amount]:
    """What these replicas hold of each node, in one query. Those on nodes that have `moved` count for this machine."""
    held: dict[str, list[Holder]] = {}
    fields = ("node", "service_id", "state", "revision__spec", "devices")
    for name, service, state, spec, uuids in replicas.order_by().values_list(*fields):
        holder = service, state == Replica.STANDBY, Resources(**spec["resources"]), uuids
        held.setdefault(settings.NODE_NAME if name in moved else name, []).append(holder)
    devices_of = {node.name: node.devices for node in nodes}
    return {name: devices.held(holders, devices_of.get(name, ())) for name, holders in held.items()}


def sum_of(replicas: QuerySet[Any]) -> Amount:
    return amounts.sum_up(claimed_by("service_id", replicas).values())


def claimed_by(field: str, replicas: QuerySet[Any]) -> dict[Any, Amount]:
    """What these replicas claim, by the value of a field of theirs."""
    parts: dict[Any, list[ReplicaClaim]] = {}
    for key, service, state, spec in replicas.order_by().values_list(field, "service_id", "state", "revision__spec"):
        claimed = service, state == Replica.STANDBY, Resources(**spec["resources"])
        parts.setdefault(key, []).append(claimed)
    return {key: amounts.claimed(claims) for key, claims in parts.items()}


def end_hold(queue: Queue, key: int) -> None:
    """Service `key` was granted its share: if it held the queue, another one may soon."""
    if (hold := _hold_of(queue)) is not None and hold.key == key:
        after = holding.fulfilled(hold, now=timezone.now(), patience=timedelta(minutes=queue.patience_minutes))
        Queue.objects.filter(pk=queue.pk).update(held_until=after.until)


def announce() -> list[int]:
    """Say to everybody who waits where they stand. Primary keys of the services that can be granted their share now."""
    names = set(Service.objects.filter(state=states.QUEUED).order_by().values_list("target__spec__queue", flat=True))
    ready: list[int] = []
    for name in sorted(filter(None, names)):
        with transaction.atomic():
            queue = Queue.objects.select_for_update().filter(name=name).first()
            if queue is None:
                ready += Service.objects.waiting_in(name).values_list("pk", flat=True)  # each says so itself
                continue
            standings = load(queue, lock=True, may_hold=True).standings
            _write_messages(queue, standings)
        ready += [key for key, standing in standings.items() if standing.decision.granted]
    return ready


def _write_messages(queue: Queue, standings: Mapping[int, Standing]) -> None:
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
