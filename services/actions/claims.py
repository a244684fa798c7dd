"""Taking a share of a queue's quota: the replica rows are the claim, made all together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction

from services.actions.checks import quota_of
from services.engines.local import ports
from services.models import Node, Queue, Replica, Revision, Service
from services.policies import admission, amounts, placement
from services.policies.amounts import Amount
from services.policies.placement import Candidate
from services.specs import Resources, ServiceSpec


def claim(service: Service, revision: Revision, indexes: Sequence[int]) -> admission.Decision:
    """Make the replica rows of `indexes` when quota and a node are free; the decision's reason says why not.

    The queue's row is locked meanwhile, so that two claims never see the same free share.
    """
    spec = revision.parsed()
    with transaction.atomic():
        queue = Queue.objects.select_for_update().filter(name=spec.queue).first()
        if queue is None:
            return admission.Decision(False, f"Queue {spec.queue} is gone. Edit the service to use another queue.")
        decision = admission.decide(
            spec.resources.times(len(indexes)), quota_of(queue), used_of(queue), queue.name, ahead_of(service, queue)
        )
        if not decision.granted:
            return decision
        placed = place(spec, len(indexes))
        if not placed.nodes:
            position = f"{admission.ordinal(1)} in queue {queue.name}: " if _place_in_empty(spec, len(indexes)) else ""
            return admission.Decision(False, position + placed.reason)
        first, last = settings.REPLICA_PORTS[0], settings.REPLICA_PORTS[-1]
        near = str(settings.HOME.root)  # consoles that run side by side do not look in the same place
        free = ports.allocate(3 * len(indexes), Replica.objects.taken_ports(), first=first, last=last, near=near)
        for index, node in zip(indexes, placed.nodes, strict=True):
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
    return decision


def preview(spec: ServiceSpec, replicas: int) -> admission.Decision | None:
    """What the queue would say now to a service that comes last; None when there is no such queue."""
    queue = Queue.objects.filter(name=spec.queue).first()
    if queue is None:
        return None
    wanted = spec.resources.times(replicas)
    return admission.decide(wanted, quota_of(queue), used_of(queue), queue.name, waiting_in(queue))


def place(spec: ServiceSpec, replicas: int) -> placement.Placement:
    """Where `replicas` of this spec would go now, with a verdict on every node."""
    return _place(spec, replicas, used_on)


def _place_in_empty(spec: ServiceSpec, replicas: int) -> bool:
    """Would the nodes take it if nothing ran on them?"""
    return bool(_place(spec, replicas, lambda node: Amount()).nodes)


def _place(spec: ServiceSpec, replicas: int, used: Callable[[Node], Amount]) -> placement.Placement:
    """`used`: what to take for granted as claimed on a node."""
    candidates = [Candidate(node.info(), used(node)) for node in Node.objects.filter(schedulable=True)]
    return placement.place(spec.resources, spec.affinity, candidates, replicas)


def used_of(queue: Queue) -> Amount:
    return _used(Replica.objects.in_queue(queue.name).values_list("revision__spec", flat=True))


def used_on(node: Node) -> Amount:
    return _used(Replica.objects.filter(node=node.name).values_list("revision__spec", flat=True))


def could_hold_both(service: Service, spec: ServiceSpec) -> bool:
    """Would the queue and the nodes hold what the service has now and `spec` beside it, if nobody else were there?"""
    queue = Queue.objects.filter(name=spec.queue).first()
    mine = Replica.objects.filter(service=service)
    if queue is None:
        return True
    in_queue = _used(mine.in_queue(queue.name).values_list("revision__spec", flat=True))
    if amounts.shortages(spec.resources.times(service.replicas), quota_of(queue), in_queue):
        return False

    def mine_on(node: Node) -> Amount:
        return _used(mine.filter(node=node.name).values_list("revision__spec", flat=True))

    return bool(_place(spec, service.replicas, mine_on).nodes)


def _used(specs: Iterable[dict[str, Any]]) -> Amount:
    return amounts.total(Resources(**spec["resources"]) for spec in specs)


def ahead_of(service: Service, queue: Queue) -> list[Resources]:
    """What the services before it in the queue want. One that runs already (it scales, it rolls) waits for nobody."""
    return [] if service.queued_at is None else waiting_in(queue, before=service)


def waiting_in(queue: Queue, before: Service | None = None) -> list[Resources]:
    """What the services that wait in the queue want, first one first; all of them, or those before `before`.

    Those that no node would take even if it were empty are left out: they would block everybody behind them for good.
    """
    ahead: list[Resources] = []
    for other in Service.objects.waiting_in(queue.name).select_related("target"):
        if before is not None and other.pk == before.pk:
            break
        spec = other.target.parsed()
        if _place_in_empty(spec, other.replicas):
            ahead.append(spec.resources.times(other.replicas))
    return ahead
