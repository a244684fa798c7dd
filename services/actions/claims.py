"""Taking a share of a queue's quota: the replica rows are the claim, made all together or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from services.actions import lines
from services.actions.checks import quota_of
from services.engines.local import ports
from services.models import Node, Queue, Replica, Revision, Service
from services.policies import admission, amounts, placement
from services.policies.admission import Claim, Decision, Room
from services.policies.amounts import Amount
from services.specs import Resources, ServiceSpec

TAKEN = "Another worker took the same ports or places in this moment; this is tried again."


def claim(service: Service, revision: Revision, indexes: Sequence[int]) -> Decision:
    """Make the replica rows of `indexes` when quota and a node are free; the decision's reason says why not.

    The rows of the queue and of all nodes are locked meanwhile, always in this order: two claims never see the same
    free share, be it of one queue or, from two queues, of one node.
    """
    spec = revision.parsed()
    with transaction.atomic():
        queue = Queue.objects.select_for_update().filter(name=spec.queue).first()
        if queue is None:
            return Decision(False, f"Queue {spec.queue} is gone. Edit the service to use another queue.")
        line = lines.read(queue, lock=True)
        standing = line.standings.get(service.pk)
        if service.queued_at is not None and standing is not None:
            decision, nodes = standing.decision, standing.nodes
            passed = admission.passed_by(service.pk, line.standings)
        else:
            mine = lines.claim_of(service, spec, len(indexes))
            decision, nodes = _beside_the_line(mine, line, grows=revision.pk == service.serving_id)
            passed = []
        if not decision.granted:
            return decision
        try:
            _make_replicas(service, revision, indexes, nodes)
        except IntegrityError:
            return Decision(False, TAKEN)
        Service.objects.filter(pk__in=passed).update(passed=F("passed") + 1)
        Service.objects.filter(pk=service.pk).update(passed=0, held_at=None)
        lines.end_hold(queue, service.pk)
    return Decision(True, f"{decision.reason} {admission.ahead_of(len(passed))}".strip())


def _beside_the_line(mine: Claim, line: lines.Line, *, grows: bool) -> tuple[Decision, tuple[str, ...]]:
    """A service that runs already (it scales, it rolls) waits for nobody, but does not grow into what is kept."""
    room = line.room
    if grows and line.holder is not None:
        room = room.keep(line.holder)
    if lacking := room.lacks(mine):
        return Decision(False, f"Queue {line.queue.name}: {'; '.join(lacking)}."), ()
    placed = room.place(mine)
    return Decision(bool(placed.nodes), placed.reason), placed.nodes


def _make_replicas(service: Service, revision: Revision, indexes: Sequence[int], nodes: Sequence[str]) -> None:
    first, last = settings.REPLICA_PORTS[0], settings.REPLICA_PORTS[-1]
    near = str(settings.HOME.root)  # consoles that run side by side do not look in the same place
    free = ports.allocate(3 * len(indexes), Replica.objects.taken_ports(), first=first, last=last, near=near)
    with transaction.atomic():  # a savepoint: the transaction around it goes on
        for index, node in zip(indexes, nodes, strict=True):
            http, grpc, metrics = (free.pop(0) for _ in range(3))
            Replica.objects.create(
                service=service,
                revision=revision,
                index=index,
                node=node,
                http_port=http,
                grpc_port=grpc,
                metrics_port=metrics,
            )


def preview(spec: ServiceSpec, replicas: int, team: int) -> Decision | None:
    """What the queue would say now to a service of this team that comes last; None when there is no such queue."""
    queue = Queue.objects.filter(name=spec.queue).first()
    if queue is None:
        return None
    newcomer = Claim(0, team, spec.resources, replicas, timezone.now())  # what its affinity does is said beside it
    return lines.read(queue, newcomer=newcomer).standings[0].decision


def place(spec: ServiceSpec, replicas: int) -> placement.Placement:
    """Where `replicas` of this spec would go now, with a verdict on every node."""
    return placement.place(spec.resources, spec.affinity, lines.candidates(), replicas)


def used_of(queue: Queue) -> Amount:
    return _used(Replica.objects.in_queue(queue.name).values_list("revision__spec", flat=True))


def used_by_queue() -> dict[str, Amount]:
    """What the replicas of each queue hold, in one query; a queue that nothing uses is missing."""
    specs: dict[str, list[dict[str, Any]]] = {}
    for spec in Replica.objects.order_by().values_list("revision__spec", flat=True):
        specs.setdefault(spec["queue"], []).append(spec)
    return {queue: _used(claimed) for queue, claimed in specs.items()}


def used_by_node() -> dict[str, Amount]:
    """What the replicas on each node hold, in one query; a node without any is missing."""
    specs: dict[str, list[dict[str, Any]]] = {}
    for node, spec in Replica.objects.order_by().values_list("node", "revision__spec"):
        specs.setdefault(node, []).append(spec)
    return {node: _used(claimed) for node, claimed in specs.items()}


def used_on(node: Node) -> Amount:
    return _used(Replica.objects.filter(node=node.name).values_list("revision__spec", flat=True))


def could_hold_both(service: Service, spec: ServiceSpec) -> bool:
    """Would the queue and the nodes hold what the service has now and `spec` beside it, if nobody else were there?"""
    queue = Queue.objects.filter(name=spec.queue).first()
    if queue is None:
        return True
    mine = Replica.objects.filter(service=service)
    in_queue = _used(mine.in_queue(queue.name).values_list("revision__spec", flat=True))
    nodes = lines.candidates(mine)
    newer = lines.claim_of(service, spec, service.replicas)
    room = Room(quota_of(queue), in_queue, nodes)
    return not room.lacks(newer) and bool(room.place(newer).nodes)


def _used(specs: Iterable[Mapping[str, Any]]) -> Amount:
    return amounts.total(Resources(**spec["resources"]) for spec in specs)
