"""Taking a share of a queue's quota: the replica rows are the claim, made all together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from services.control import leases
from services.control.queues import lines
from services.models import Node, Queue, Replica, Revision, Service
from services.models.services import RUNNING
from services.policies import admission, amounts, devices, placement
from services.policies.admission import Claim, Decision
from services.policies.amounts import Amount
from services.specs import Resources, ServiceSpec

GONE = "Queue {name} is gone. Edit the service to use another queue."
CHANGED = Decision(False, "It was changed meanwhile; looking again.")


@dataclass(frozen=True)
class Outlook:
    """Could a revision start now? `beside` what its service runs, or only `instead` of it."""

    beside: Decision
    instead: Decision

    @property
    def needs_choice(self) -> bool:
        """Only a person may say that the old revision ends before the new one answers."""
        return self.instead.granted and not self.beside.granted

    @property
    def reason(self) -> str:
        """Why it cannot start beside the old one; "" when it can."""
        if self.beside.granted:
            return ""
        both = f"There is no room for both revisions at once. {self.beside.reason}"
        return both if self.needs_choice else self.instead.reason


def claim(service: Service, revision: Revision, indexes: Sequence[int]) -> Decision:
    """Make the replica rows of `indexes` when quota and a node are free; the decision's reason says why not."""
    leases.check()
    waits = service.queued_at is not None
    with transaction.atomic():
        line = _lock(service, revision, may_hold=waits)
        if isinstance(line, Decision):
            return line
        standing = line.standings.get(service.pk) if waits else None
        if standing is not None:
            decision, nodes = standing.decision, standing.nodes
            passed = admission.passed_by(service.pk, line.standings)
        else:
            mine = lines.claim_of(service, revision.parsed(), len(indexes))
            decision, nodes = _beside_the_line(mine, line, grows=revision.pk == service.serving_id)
            passed = []
        if not decision.granted:
            return decision
        if len(nodes) != len(indexes):  # it was scaled since it was read
            return CHANGED
        given = _devices(line, revision.parsed().resources, nodes)
        if isinstance(given, Decision):
            return given
        try:
            _make_replicas(service, revision, indexes, nodes, given)
        except IntegrityError:
            return CHANGED
        Service.objects.filter(pk__in=passed).update(passed=F("passed") + 1)
        Service.objects.filter(pk=service.pk).update(passed=0, held_at=None)
        lines.end_hold(line.queue, service.pk)
    return Decision(True, f"{decision.reason} {admission.ahead_of(len(passed))}".strip())


def take_over(service: Service, revision: Revision, give_way: Callable[[], object]) -> Decision:
    """In one step the claim of what the service runs passes to `revision`; nobody else can take it in between.

    `give_way` puts the old replicas on standby. When the new revision needs more than they free, nothing changes.

    The new replicas take the devices of those on standby, whose processes end before the new ones start. Not of those
    that still drain, although they count as freed.
    """
    leases.check()
    with transaction.atomic():
        line = _lock(service, revision)
        if isinstance(line, Decision):
            return line
        mine = lines.claim_of(service, revision.parsed(), service.replicas)
        decision, nodes = _beside_the_line(mine, line.without(service))
        if not decision.granted:
            return decision
        give_way()
        reused = Replica.objects.filter(service=service, state=Replica.STANDBY).devices()
        given = _devices(line, revision.parsed().resources, nodes, reused)
        if isinstance(given, Decision):
            transaction.set_rollback(True)
            return given
        try:
            _make_replicas(service, revision, range(service.replicas), nodes, given)
        except IntegrityError:
            transaction.set_rollback(True)
            return CHANGED
    return decision


def move(service: Service, serving: Revision, target: Revision) -> Decision:
    """The replicas of `serving` become those of `target`, in the queue that it names, when it has room for them."""
    leases.check()
    with transaction.atomic():
        line = _lock(service, target)
        if isinstance(line, Decision):
            return line
        name, room = line.queue.name, line.without(service).room
        mine = lines.claim_of(service, target.parsed(), serving.replica_set.count())
        if impossible := admission.never_fits(mine.total, room.quota, name):
            return Decision(False, impossible)
        if lacking := room.lacks(mine):
            return Decision(False, f"Queue {name}: {'; '.join(lacking)}.")
        if not Service.objects.filter(pk=service.pk, serving=serving, target=target).update(serving=target):
            return CHANGED
        serving.replica_set.update(revision=target)
    return Decision(True, f"Queue {name} granted {amounts.say(mine.total)}.")


def outlook(service: Service, spec: ServiceSpec, replicas: int) -> Outlook:
    """What `claim` and `take_over` would decide now."""
    queue = Queue.objects.filter(name=spec.queue).first()
    if queue is None:
        gone = Decision(False, GONE.format(name=spec.queue))
        return Outlook(gone, gone)
    mine = lines.claim_of(service, spec, replicas)
    line = lines.load(queue)
    beside, _ = _beside_the_line(mine, line)
    if beside.granted:
        return Outlook(beside, beside)
    instead, _ = _beside_the_line(mine, line.without(service))
    return Outlook(beside, instead)


def _lock(service: Service, revision: Revision, *, may_hold: bool = False) -> lines.Line | Decision:
    """The line of the queue that the revision names, or why nothing can be claimed there.

    The rows of the queue, of all nodes and of the service are locked for the rest of the transaction, always in this
    order: two claims never see the same free share, be it of one queue or, from two queues, of one node, and nobody
    claims for a revision that a verb has just replaced.
    """
    name = revision.parsed().queue
    queue = Queue.objects.select_for_update().filter(name=name).first()
    if queue is None:
        return Decision(False, GONE.format(name=name))
    line = lines.load(queue, lock=True, may_hold=may_hold)
    return line if _is_current(service, revision) else CHANGED


def _is_current(service: Service, revision: Revision) -> bool:
    """Locks the service. False when somebody has moved it, or its revisions, since it was read."""
    rows = Service.objects.select_for_update().filter(pk=service.pk, state=service.state, desired=RUNNING)
    return bool(rows.filter(Q(target=revision) | Q(serving=revision)).values_list("pk"))


def _beside_the_line(mine: Claim, line: lines.Line, *, grows: bool = False) -> tuple[Decision, tuple[str, ...]]:
    """A service that runs already (it scales, it rolls) waits for nobody, but does not grow into what is kept."""
    room = line.room
    if grows and line.holder is not None:
        room = room.keep(line.holder)
    if impossible := admission.never_fits(mine.total, room.quota, line.queue.name):
        return Decision(False, impossible), ()
    if lacking := room.lacks(mine):
        return Decision(False, f"Queue {line.queue.name}: {'; '.join(lacking)}."), ()
    chosen = room.place(mine)
    return Decision(bool(chosen.nodes), chosen.reason), chosen.nodes


def _devices(
    line: lines.Line, resources: Resources, nodes: Sequence[str], reused: Set[str] = frozenset()
) -> list[tuple[str, ...]] | Decision:
    """UUIDs for a replica on each of `nodes`, which are locked; or why there are none, although there is room."""
    if not resources.gpu:
        return [()] * len(nodes)
    # On whatever node: no UUID is there twice, and a node that was renamed has its devices still.
    taken = Replica.objects.all().devices() - reused
    devices_of = {candidate.node.name: candidate.node.devices for candidate in line.room.nodes}
    given = {}
    for name, count in Counter(nodes).items():
        chosen = devices.choose(devices_of[name], taken, resources, count, prefer=reused)
        if not chosen:
            return Decision(False, devices.lacking(name, devices_of[name], resources))
        given[name] = iter(chosen)
    return [next(given[name]) for name in nodes]


def _make_replicas(
    service: Service,
    revision: Revision,
    indexes: Sequence[int],
    nodes: Sequence[str],
    given: Sequence[tuple[str, ...]],
) -> None:
    """Raises IntegrityError when another worker has made one of them: nothing is made then."""
    rows = zip(indexes, nodes, given, strict=True)
    with transaction.atomic():  # a savepoint: the transaction around it goes on
        Replica.objects.bulk_create(
            Replica(service=service, revision=revision, index=index, node=node, devices=list(uuids))
            for index, node, uuids in rows
        )


def preview(spec: ServiceSpec, replicas: int, team: int) -> Decision | None:
    """What the queue would say now to a service of this team that comes last; None when there is no such queue."""
    queue = Queue.objects.filter(name=spec.queue).first()
    if queue is None:
        return None
    newcomer = Claim(0, team, spec.resources, replicas, timezone.now())  # what its affinity does is said beside it
    return lines.load(queue, newcomer=newcomer).standings[0].decision


def place(spec: ServiceSpec, replicas: int) -> placement.Placement:
    """Where `replicas` of this spec would go now, with a verdict on every node."""
    return placement.place(spec.resources, spec.affinity, lines.candidates(), replicas)


def used_by_queue() -> dict[str, Amount]:
    """What the replicas in each queue claim, in one query; a queue without any is missing."""
    return lines.claimed_by("revision__spec__queue", Replica.objects.all())


def used_by_node() -> dict[str, Amount]:
    """What the replicas on each node hold, in two queries; a node without any is missing."""
    return lines.used_by_node(Replica.objects.all(), [node.info() for node in Node.objects.all()])
