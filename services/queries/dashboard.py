"""The read layer of the dashboard, the queue pages and the node pages: what runs, what waits and why, what is used.

Everything is read from the database and, for the gateway, from Envoy's own administration socket; nothing here waits
for a worker. A worker's heartbeat is the report of its node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from console.accounts.principal import Principal
from services import states
from services.errors import GatewayError
from services.gateway import status
from services.models import Event, GatewayRevision, Node, Queue, Replica, Service
from services.policies import amounts, devices
from services.policies.amounts import Amount, ReplicaClaim
from services.policies.devices import Holder
from services.queries import savings, standing
from services.specs import Resources

REPORT_LOST_AFTER = timedelta(seconds=45)
"""A node reports every 10 seconds; one report may be late while the worker copies or starts something."""
NEEDS_A_LOOK = (*states.WAITING, states.FAILED, states.DEGRADED)
EVENTS = 12


@dataclass(frozen=True)
class Use:
    """How much of something is taken. `unit` follows the numbers."""

    label: str
    used: float
    total: float
    unit: str = ""


@dataclass(frozen=True)
class QueueUse:
    name: str
    description: str
    uses: tuple[Use, ...]
    running: Annotated[int, "Replicas that hold a share."]
    waiting: Annotated[int, "Services that wait for one."]


@dataclass(frozen=True)
class NodeUse:
    name: str
    labels: Mapping[str, str]
    schedulable: bool
    absence: Annotated[str, "Why nothing can be started on it; empty when it can."]
    alive: Annotated[bool, "It reported lately."]
    reported_at: datetime | None
    uses: Annotated[tuple[Use, ...], "What replicas claim of what the node offers."]
    live: Annotated[tuple[Use, ...], "What the machine itself measures: load, memory, disk."]
    replicas: int
    boxes: Annotated[bool, "Each replica that starts now is in a box of its own."]
    containment: Annotated[str, "What keeps replicas apart, or why nothing does and what to do."]


@dataclass(frozen=True)
class Gateway:
    """`sentence` says the state."""

    state: Annotated[str, "current, behind or away."]
    sentence: str
    revision: int | None
    published_at: datetime | None
    services: int
    keys: int
    error: Annotated[str, "Why the newest configuration was refused; empty when it was not."]

    @property
    def refusal(self) -> str:
        """What that means for callers."""
        if self.error.startswith(GatewayRevision.LEFT_OUT):
            return "The gateway goes on without a service that it refuses."
        goes_on = "" if self.state == "away" else " It goes on with the one before it."
        return f"The gateway refused the newest configuration.{goes_on}"


@dataclass(frozen=True)
class Attention:
    """A service that is not simply running or stopped, and why."""

    name: str
    state: str
    message: str
    since: datetime


@dataclass(frozen=True)
class Dashboard:
    counts: Annotated[Mapping[str, int], "State to how many services; every state is there."]
    total: int
    attention: Annotated[tuple[Attention, ...], "Services that wait, or are not well, and why."]
    queues: tuple[QueueUse, ...]
    nodes: tuple[NodeUse, ...]
    gateway: Gateway
    problems: Annotated[tuple[standing.Problem, ...], "Parts of the console that are not well, from asking them now."]
    events: tuple[Event, ...]
    # Summed over the services that the actor may see: services/queries/savings.py.
    gpu_seconds_saved: Annotated[
        float, "GPU-seconds not held because files are prepared first: GPUs x replicas x time of each preheat."
    ]


def read(actor: Principal) -> Dashboard:
    """What `actor` may see: services and events of their teams; queues, nodes and the gateway as everybody."""
    services = Service.objects.visible_to(actor)
    by_state = dict(services.order_by().values_list("state").annotate(Count("pk")))
    counts = {state: by_state.get(state, 0) for state in states.ALL}
    attention = services.filter(state__in=NEEDS_A_LOOK).order_by("state_since")
    events = Event.objects.filter(service__in=services).select_related("service")[:EVENTS]
    return Dashboard(
        counts=counts,
        total=sum(counts.values()),
        attention=tuple(Attention(s.name, s.state, s.message, s.state_since) for s in attention[:50]),
        queues=queue_uses(),
        nodes=node_uses(),
        gateway=gateway(),
        problems=standing.problems(),
        events=tuple(events),
        gpu_seconds_saved=sum(savings.gpu_seconds(services).values()),
    )


def queue_uses() -> tuple[QueueUse, ...]:
    claims = _claims_by_queue()
    waiting: dict[str, int] = {}
    for name in Service.objects.filter(state=states.QUEUED).values_list("target__spec__queue", flat=True):
        waiting[name] = waiting.get(name, 0) + 1
    return tuple(
        QueueUse(
            name=queue.name,
            description=queue.description,
            running=_running(claims.get(queue.name, ())),
            waiting=waiting.get(queue.name, 0),
            uses=_uses(queue.quota, amounts.claimed(claims.get(queue.name, ()))),
        )
        for queue in Queue.objects.all()
    )


def node_uses() -> tuple[NodeUse, ...]:
    holders: dict[str, list[Holder]] = {}
    for name, service, is_standby, resources, uuids in _replicas("node"):
        holders.setdefault(name, []).append((service, is_standby, resources, uuids))
    return tuple(_node_use(node, holders.get(node.name, [])) for node in Node.objects.all())


def _claims_by_queue() -> dict[str, list[ReplicaClaim]]:
    claims: dict[str, list[ReplicaClaim]] = {}
    for name, service, is_standby, resources, _ in _replicas("revision__spec__queue"):
        claims.setdefault(name, []).append((service, is_standby, resources))
    return claims


def _replicas(field: str) -> Iterator[tuple[str, int, bool, Resources, list[str]]]:
    """The value of a field of each, and what it holds."""
    rows = Replica.objects.order_by().values_list(field, "service_id", "state", "revision__spec", "devices")
    for key, service, state, spec, uuids in rows:
        yield key, service, state == Replica.STANDBY, Resources(**spec["resources"]), uuids


def _running(claims: Sequence[ReplicaClaim | Holder]) -> int:
    return sum(not claim[1] for claim in claims)


def _node_use(node: Node, holders: Sequence[Holder]) -> NodeUse:
    alive = node.reported_at is not None and timezone.now() - node.reported_at < REPORT_LOST_AFTER
    return NodeUse(
        name=node.name,
        labels=node.info().labels,
        schedulable=node.schedulable,
        absence=node.absence,
        alive=alive,
        reported_at=node.reported_at,
        uses=_uses(Amount(node.cpu, node.memory_gib, node.gpus), devices.held(holders, node.parsed_devices)),
        live=_measured(node.facts),
        containment=node.facts.get("containment", ""),
        boxes=bool(node.facts.get("boxes")),
        replicas=_running(holders),
    )


def _uses(have: Amount, used: Amount) -> tuple[Use, ...]:
    gpus = [
        Use(f"GPU {kind}".strip(), used.gpus.get(kind, 0), have.gpus.get(kind, 0))
        for kind in sorted({*have.gpus, *used.gpus})
    ]
    return Use("CPU", used.cpu, have.cpu), Use("Memory", used.memory_gib, have.memory_gib, "GiB"), *gpus


def _measured(facts: Mapping[str, Any]) -> tuple[Use, ...]:
    """The node's own readings; empty before its first report."""
    if "memory_gib" not in facts:
        return ()
    gpus = [
        Use(
            f"GPU {index} {gpu['product']} memory", round(gpu["memory_used_gib"], 1), round(gpu["memory_gib"], 1), "GiB"
        )
        for index, gpu in enumerate(facts.get("gpus", ()))
    ]
    return (
        Use("Load, one minute", facts["load"], facts["cores"], "cores"),
        Use("Memory in use", round(facts["memory_gib"] - facts["memory_free_gib"], 1), facts["memory_gib"], "GiB"),
        Use("Disk in use", round(facts["disk_gib"] - facts["disk_free_gib"], 1), facts["disk_gib"], "GiB"),
        *gpus,
    )


def gateway() -> Gateway:
    newest = GatewayRevision.objects.first()
    state, sentence = _gateway_state()
    return Gateway(
        state=state,
        sentence=sentence,
        revision=newest.pk if newest else None,
        published_at=newest.published_at if newest else None,
        services=newest.services if newest else 0,
        keys=newest.keys if newest else 0,
        error=newest.error if newest else "",
    )


def _gateway_state() -> tuple[str, str]:
    if (problem := standing.problem_of("gateway")) is not None:
        return "away", problem.message
    try:
        loaded = status.loaded(settings.HOME.gateway)
    except (GatewayError, OSError, ValueError):
        return "away", "The gateway does not report its configuration."
    if loaded.current:
        return "current", "The gateway runs with the newest configuration."
    return "behind", "The gateway is loading a newer configuration."
